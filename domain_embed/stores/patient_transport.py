"""HTTP within a search's patience: a server that trickles, or freezes in the middle, holds a search no longer."""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from domain_embed.contracts.errors import StoreUnavailableError
from domain_embed.contracts.patience import waiting

LOCAL = ("localhost", "127.0.0.1")


def patient_transport(url: str) -> httpx.HTTPTransport:
    """The transport a Qdrant client would use for a URL, whose every wait counts as waiting.

    A client's own time limits are for each read alone: a byte now and then keeps it waiting for ever.
    """
    kept_alive = 0 if urlsplit(url).hostname in LOCAL else None  # as the client does: there it only adds delays
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept_alive)
    transport = httpx.HTTPTransport(limits=limits, proxy=_proxy(url))
    pool: Any = transport._pool
    pool._network_backend = _Backend(pool._network_backend)
    return transport


def _proxy(url: str) -> str | None:
    """As the environment says; httpx looks there only for a transport of its own."""
    parts = urlsplit(url)
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    return None if not found or proxy_bypass(parts.hostname or "") else found


class _Backend(httpcore.NetworkBackend):
    """Opens connections that count what they wait."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        with _left(timeout) as seconds:
            return _Stream(self._inner.connect_tcp(host, port, seconds, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        with _left(timeout) as seconds:
            return _Stream(self._inner.connect_unix_socket(path, seconds, socket_options))


class _Stream(httpcore.NetworkStream):
    """A connection every read and write of which counts."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _left(timeout) as seconds:
            return self._inner.read(max_bytes, seconds)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _left(timeout) as seconds:
            self._inner.write(buffer, seconds)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with _left(timeout) as seconds:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _left(timeout: float | None) -> Iterator[float | None]:
    """`waiting`, with an error that the client takes for a server's silence."""
    try:
        with waiting(timeout) as seconds:
            yield seconds
    except StoreUnavailableError as error:
        raise httpcore.ReadTimeout(str(error).partition("\n")[0]) from error
