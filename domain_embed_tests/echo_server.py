"""A server that answers every request with an error that repeats what it was sent: path, headers, body."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@contextmanager
def echo_server(status: int, padding: int = 0) -> Iterator[str]:
    """Its `host:port`. So many characters stand before what it repeats, so that a quotation is cut within."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
            told = {"error": "x" * padding, "sent": {"headers": dict(self.headers), "path": self.path, "body": body}}
            content = json.dumps(told).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_PROPFIND = do_HEAD = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps the output of tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
