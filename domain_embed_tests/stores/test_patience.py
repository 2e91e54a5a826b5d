"""A search waits no longer than it may, whatever the server does: real sockets, servers that misbehave."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from qdrant_client import QdrantClient

from domain_embed.contracts.errors import CollectionGoneError, StoreUnavailableError
from domain_embed.contracts.patience import held, patience, waiting
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.qdrant_collection import ServedCollection
from domain_embed_tests.stores.samples import AXIS_X, POINTS, info

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
SHORT = 0.4


@contextmanager
def a_server(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Accepts any number of connections and misbehaves on each, until the test is over."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                behave(connection, over)
            except OSError:  # the client has hung up, as it should
                return

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.close()


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def trickles_its_head(connection: socket.socket, over: threading.Event) -> None:
    for _ in range(10_000):
        connection.sendall(b"H")
        if over.wait(0.02):
            return


def trickles_its_body(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(HEAD)
    trickles_its_head(connection, over)


def freezes_in_the_middle(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(HEAD + b'{"result": [')
    over.wait()


def never_reads(connection: socket.socket, over: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    over.wait()


MISBEHAVIOURS = [silent, trickles_its_head, trickles_its_body, freezes_in_the_middle, never_reads]


@pytest.mark.parametrize("behave", MISBEHAVIOURS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("what", ["search", "describe", "fetch", "open"])
def test_a_server_that_hangs_holds_no_search(
    behave: Callable[[socket.socket, threading.Event], None], what: str
) -> None:
    """Without the limit the client waits for a minute of silence, or for ever."""
    with a_server(behave) as url:
        store = QdrantStore.connect(url)
        collection = ServedCollection(info(), store._client, "aws-1", url)
        asks = {
            "search": lambda: collection.search_dense(np.repeat(AXIS_X, 20_000, axis=0), 3),
            "describe": lambda: collection.describe([[], *collection.search_dense(AXIS_X, 3)]),
            "fetch": lambda: collection.fetch([point.passage_id for point in POINTS]),
            "open": lambda: store.alias("live"),
        }
        with pytest.raises(StoreUnavailableError, match="does not answer"), patience(SHORT):
            asks[what]()


def test_waiting_is_counted_together_and_computing_is_not() -> None:
    clock = threading.Event()
    with patience(0.2):
        clock.wait(0.3)  # computing
        with waiting() as left:
            assert left == pytest.approx(0.2)
        with waiting(0.05) as left:
            assert left == 0.05
            clock.wait(0.25)
        with pytest.raises(StoreUnavailableError, match=r"no answer within 0\.2 s"), waiting():
            pass
    with waiting() as left:
        assert left is None
    with waiting(7) as left:
        assert left == 7


def test_a_thread_that_waits_for_its_turn_gives_up_too() -> None:
    lock, taken, over = threading.RLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with held(lock, "the model"):
            taken.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        with (
            pytest.raises(StoreUnavailableError, match=r"the model was not free within 0\.1 s"),
            patience(0.1),
            held(lock, "the model"),
        ):
            pytest.fail("it was not free")
    finally:
        over.set()
        thread.join()
    with patience(0.1), held(lock, "the model"), held(lock, "the model"):
        pass


def test_a_dropped_collection_is_said_to_be_gone() -> None:
    store = QdrantStore(QdrantClient(":memory:"), "x-")
    store.build(info(), [POINTS])
    opened = store.open("aws-1")
    store.drop("aws-1")
    with pytest.raises(CollectionGoneError, match="aws-1"):
        opened.search_dense(AXIS_X, 1)


def test_a_server_that_has_dropped_a_collection_says_so() -> None:
    answer = b'{"status":{"error":"Not found: Collection `aws-1` doesn\'t exist!"},"time":0.1}'

    def says(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65_536)
        head = f"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        connection.sendall(head.encode() + answer)

    with a_server(says) as url:
        collection = ServedCollection(info(), QdrantStore.connect(url)._client, "aws-1", url)
        with pytest.raises(CollectionGoneError):
            collection.search_dense(AXIS_X, 1)
