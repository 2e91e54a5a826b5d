"""A real local HTTP server that speaks as much of the chat completions protocol as a test tells it."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MODEL = "tiny-chat"


@dataclass(frozen=True)
class Reply:
    """One HTTP response."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def says(answer: str) -> Reply:
    """A chat completion with this answer."""
    message = {"role": "assistant", "content": answer}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return sends({"id": "1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]})


def sends(content: Any) -> Reply:
    """Any JSON."""
    return Reply(body=json.dumps(content).encode())


def fails(status: int, message: str = "no", **headers: str) -> Reply:
    """An error as such servers send it."""
    return Reply(status, json.dumps({"error": {"message": message}}).encode(), headers)


@dataclass
class Served:
    """What a server was asked: the bodies of the requests, their prompts and keys, in order."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][-1]["content"] for request in self.requests]

    @property
    def variables(self) -> dict[str, str]:
        """The environment that leads to the server."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_MODEL": MODEL}


@contextmanager
def chat_server(reply: Callable[[int, str], Reply]) -> Iterator[Served]:
    """Serves `reply(number of the request from 1, prompt)` on a free port."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.requests.append(request)
            served.keys.append(self.headers["Authorization"])
            found = self.path == "/v1/chat/completions"
            answer = reply(len(served.requests), served.prompts[-1]) if found else fails(404, self.path)
            self.send_response(answer.status)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **answer.headers}
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps the output of tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
