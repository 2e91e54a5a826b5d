"""Where a server listens, and the rule that what knows no passwords is reached from this machine alone."""

import ipaddress
import logging
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from domain_embed.contracts.errors import SettingsError
from domain_embed.servers.gate import Elsewhere, Gate, Rules

HOSTS_VARIABLE, PROXY_VARIABLE, TOKEN_VARIABLE = (
    "DOMAIN_EMBED_HOSTS", "DOMAIN_EMBED_BEHIND_PROXY", "DOMAIN_EMBED_UI_TOKEN",
)  # fmt: skip
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
HOST_PATTERN = r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
HTTP_PORT, HTTPS_PORT = 80, 443
LAST_ANSWERS_SECONDS = 5


@dataclass(frozen=True)
class Access:
    """Who may speak to our servers, besides this machine's own names.

    Attributes:
        hosts: Names people reach the servers by, with a port where it is another than the server's own.
        behind_proxy: Somebody who asks for passwords stands before the servers, so they may listen for others.
        token: What must be shown besides; never printed, and in no command line.
    """

    hosts: tuple[str, ...] = ()
    behind_proxy: bool = False
    token: str | None = field(default=None, repr=False)

    @classmethod
    def read(
        cls, hosts: Sequence[str] = (), *, behind_proxy: bool = False, variables: Mapping[str, str] = os.environ
    ) -> "Access":
        """What was asked for, and what DOMAIN_EMBED_HOSTS, DOMAIN_EMBED_BEHIND_PROXY and DOMAIN_EMBED_UI_TOKEN say.

        Raises SettingsError when a name cannot be one, or a variable says neither yes nor no.
        """
        named = [*hosts, *re.split(r"[,\s]+", variables.get(HOSTS_VARIABLE, ""))]
        return cls(
            tuple(_host(name) for name in named if name),
            behind_proxy or _yes_or_no(variables, PROXY_VARIABLE),
            _token(variables.get(TOKEN_VARIABLE)),
        )

    def variables(self) -> dict[str, str]:
        """The variables a process is given that shall let in the same; the token is in the environment already."""
        return {HOSTS_VARIABLE: ",".join(self.hosts), PROXY_VARIABLE: "1" if self.behind_proxy else ""}

    def rules(self, host: str, port: int) -> Rules:
        """The gate's rules for a server that listens there."""
        literal = f"[{host}]" if ":" in host else host
        own = [*LOOPBACK_NAMES, *([literal] if is_loopback(host) else [])]
        allowed = [f"{name.lower()}:{port}" for name in own]
        for name in self.hosts:
            allowed += [name, _without_usual_port(name)] if _has_port(name) else [name, f"{name}:{port}"]
        if port == HTTP_PORT:
            allowed += own
        return Rules(frozenset(allowed), self.token)

    def require(self, host: str, server: str) -> None:
        """Raises SettingsError when a server would be open to others and nobody who asks for passwords is before it."""
        if not self.behind_proxy and not is_loopback(host):
            raise SettingsError(
                f"{server} would listen on {host!r}, for other machines, and asks nobody for a password",
                f"listen on 127.0.0.1, or put a proxy with a login before it and say so: --behind-proxy or "
                f"{PROXY_VARIABLE}=1 (docs/deployment.md)",
            )


def serve(app: ASGIApp, access: Access, host: str, port: int) -> None:
    """Serves an application behind the gate until interrupted, and writes what it refuses to standard error."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    uvicorn.Server(gated(app, access, host, port)).run()


def gated(app: ASGIApp, access: Access, host: str, port: int) -> uvicorn.Config:
    """How an application is served behind the gate. Raises SettingsError where it would be open to others."""
    access.require(host, "a server")
    behind = Elsewhere(app) if access.behind_proxy else app
    return uvicorn.Config(
        Gate(behind, access.rules(host, port)), host=host, port=port,
        # h11 refuses what is ambiguous, and shows the gate a target with a host in it as it was sent.
        http="h11",
        # An access log would have the token in it.
        access_log=False, log_level="warning",
        proxy_headers=access.behind_proxy,  # X-Forwarded-Proto: links lead to https where people come by it
        timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
    )  # fmt: skip


def address(host: str, port: int) -> str:
    """Where a browser of this machine finds a server."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name if is_loopback(host) else 'localhost'}:{port}"


def is_loopback(host: str) -> bool:
    """Whether all addresses behind a name are reached from this machine alone. Raises SettingsError for no name."""
    if not host:
        return False
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise SettingsError(f"nothing can listen on {host!r}: {error}", "give an address of this machine") from error
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def _host(name: str) -> str:
    if not re.fullmatch(HOST_PATTERN, name.lower()):
        raise SettingsError(
            f"{name!r} is no host",
            f"names as browsers show them, such as embed.example.com or gpu1:8080 (--allow-host, {HOSTS_VARIABLE})",
        )
    return name.lower()


def _has_port(host: str) -> bool:
    return host.rpartition("]")[2].count(":") == 1


def _without_usual_port(host: str) -> str:
    """As browsers write it: they leave out the ports of http and https."""
    name, _, port = host.rpartition(":")
    return name if int(port) in (HTTP_PORT, HTTPS_PORT) else host


def _yes_or_no(variables: Mapping[str, str], name: str) -> bool:
    value = variables.get(name, "")
    if value not in ("", "0", "1"):
        raise SettingsError(f"{name} is {value!r}", "allowed: 1 or 0")
    return value == "1"


def _token(value: str | None) -> str | None:
    if value and not re.fullmatch(r"[!-~]+", value):
        raise SettingsError(
            f"{TOKEN_VARIABLE} has a blank or a sign beyond ASCII", "make one with `openssl rand -hex 24`"
        )
    return value or None
