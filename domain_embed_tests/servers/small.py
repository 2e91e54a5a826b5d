"""A small application behind the gate, served as Dagster and MLflow are."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import Receive, Scope, Send

from domain_embed.servers.listening import Access, gated
from domain_embed_tests.ui.dagster_ui import free_port

TOKEN = "a-token-of-the-test"
NAMED = ("embed.example.com", "tunnel.example.com:8443", "[fd00::7]")


@dataclass
class Behind:
    """What stands behind the gate: it notes what reached it, and from where."""

    reached: list[str] = field(default_factory=list)
    clients: list[tuple[str, int] | None] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self.reached.append("websocket")
            await receive()
            await send({"type": "websocket.accept", "subprotocol": "graphql-ws"})
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            self.clients.append(scope["client"])
            self.reached.append(f"{scope['method']} {scope['path']}")
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"in"})


@dataclass(frozen=True)
class Gated:
    """A running server."""

    port: int
    behind: Behind

    @property
    def host(self) -> str:
        return f"Host: localhost:{self.port}"

    @property
    def own(self) -> str:
        return f"Origin: http://localhost:{self.port}"


@contextmanager
def running(access: Access) -> Iterator[Gated]:
    port, behind = free_port(), Behind()
    server = uvicorn.Server(gated(behind, access, "127.0.0.1", port))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Gated(port, behind)
    server.should_exit = True
    thread.join()
