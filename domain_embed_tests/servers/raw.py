"""Requests as bytes: what no client library would send, a stranger's program does."""

import base64
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a server sent back."""

    status: int
    headers: dict[str, str]
    body: str


def send(port: int, request: str) -> Answer:
    """Sends bytes as they are, and reads until the server has nothing more to say."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(request.encode("latin-1"))
        received = b""
        while b"\r\n\r\n" not in received:
            if not (more := connection.recv(65536)):
                break
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(body) < length and (more := connection.recv(65536)):
            body += more
    return Answer(int(first.split(" ")[1]), headers, body.decode("utf-8", "replace"))


def request(port: int, method: str, target: str, *headers: str, body: str = "") -> Answer:
    """One request with exactly these headers, and the length of its body."""
    lines = [f"{method} {target} HTTP/1.1", *headers, f"Content-Length: {len(body)}", "Connection: close", "", body]
    return send(port, "\r\n".join(lines))


def handshake(port: int, target: str, *headers: str) -> Answer:
    """Asks for a websocket; 101 is yes."""
    key = base64.b64encode(b"0123456789abcdef").decode()
    lines = [
        f"GET {target} HTTP/1.1", *headers, "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: graphql-ws", "", "",
    ]  # fmt: skip
    return send(port, "\r\n".join(lines))
