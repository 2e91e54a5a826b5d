"""A client of one node of the fake cluster, and the server's errors as a client sees them."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Protocol

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

# What the in-process client says, and the server's status and words for it.
ERRORS = [
    (r"Collection (.+) not found", 404, "Not found: Collection `{}` doesn't exist!"),
    (r"Collection (.+) already exists", 409, "Wrong input: Collection `{}` already exists!"),
    (r"Alias (.+) already exists", 400,
     "Wrong input: Can't create collection with name {}. Alias with the same name already exists"),
    (r"Alias (.+) does not exist", 404, "Not found: Alias {} does not exists!"),
    (r".*ector (.+) is not found in the collection", 400, "Wrong input: Not existing vector name error: {}"),
    (r"(?:Wrong input: )?(.+)", 400, "Wrong input: {}"),
]  # fmt: skip


class Nodes(Protocol):
    """Whatever can be asked as a cluster can."""

    def ask(self, node: int, method: str, /, **arguments: Any) -> Any: ...


class NodeClient(QdrantClient):
    """QdrantClient's own signatures and checks over requests, each to the next of `asked`; closing closes nothing."""

    def __init__(self, nodes: Nodes, asked: Iterator[int]) -> None:
        super().__init__(":memory:")
        connection: Any = _Connection(nodes, asked)
        self._client = connection


class _Connection:
    """Passes every request on."""

    def __init__(self, nodes: Nodes, asked: Iterator[int]) -> None:
        self._nodes, self._asked = nodes, asked

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(self._nodes.ask, next(self._asked), method)

    def close(self, **_: Any) -> None:
        """Nothing to release."""

    def upload_points(
        self, collection_name: str, points: Iterable[models.PointStruct], batch_size: int, max_retries: int, **_: Any
    ) -> None:
        """As upserts, each tried again so many times."""
        waiting = iter(points)
        while batch := list(islice(waiting, batch_size)):
            for left in reversed(range(max_retries + 1)):
                try:
                    self._nodes.ask(next(self._asked), "upsert", collection_name=collection_name, points=batch)
                    break
                except ApiException:
                    if not left:
                        raise


def in_the_servers_words(error: ValueError) -> UnexpectedResponse:
    """The server's answer where the in-process client raises."""
    for pattern, status, words in ERRORS:
        if found := re.fullmatch(pattern, str(error)):
            return response(status, words.format(found[1]))
    raise error


def response(status: int, error: str) -> UnexpectedResponse:
    """An answer other than 200."""
    content = json.dumps({"status": {"error": error}, "time": 0.001}).encode()
    return UnexpectedResponse(status, httpx.codes.get_reason_phrase(status), content, httpx.Headers())
