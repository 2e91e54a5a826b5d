"""The query log's writer: whole lines from many processes, and no caller that waits or fails."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import domain_embed
from domain_embed.monitoring.log_writer import QueryLog, query_log
from domain_embed.monitoring.query_log import finished_days, read_query_log

AT = datetime(2025, 3, 31, 12, tzinfo=UTC)


def test_a_search_with_its_click_and_feedback_is_read_back(tmp_path: Path) -> None:
    log = QueryLog(tmp_path)
    name = log.log_query("disk full", [("p1", 0.9), ("p2", 0.5)], filters={"team": "storage"}, group="staff",
                         system="abc", at=AT)  # fmt: skip
    log.log_click(name, "p2", at=AT)
    log.log_feedback(name, True, at=AT)
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["2025-03-31.jsonl"]
    table, damaged = read_query_log(finished_days(tmp_path, date(2025, 4, 1)))
    assert damaged == 0
    assert table.to_dict("records") == [{
        "search_id": name, "day": "2025-03-31", "query": "disk full", "filtered": True, "group": "staff",
        "system": "abc", "passage_ids": ["p1", "p2"], "scores": [0.9, 0.5], "clicked": {"p2"}, "helpful": True,
    }]  # fmt: skip


def test_the_day_is_utc_and_an_unfinished_one_is_not_looked_at(tmp_path: Path) -> None:
    log = QueryLog(tmp_path)
    log.log_query("late", [], at=datetime.fromisoformat("2025-03-31T23:30:00-05:00"))
    log.close()
    assert finished_days(tmp_path, date(2025, 4, 1)) == []
    assert [path.name for path in finished_days(tmp_path, date(2025, 4, 2))] == ["2025-04-01.jsonl"]
    assert finished_days(tmp_path, date(2025, 4, 20), days=7) == []
    assert finished_days(tmp_path / "not there", date(2025, 4, 2)) == []


def test_nothing_a_caller_hands_over_makes_it_fail(tmp_path: Path) -> None:
    log = QueryLog(tmp_path)
    circle: dict[str, object] = {}
    circle["self"] = circle
    assert log.log_query("kept", [("p", 0.1)], filters={"when": AT}, at=AT)
    assert log.log_query("circle", [], filters=circle, at=AT)
    assert log.log_query("no pairs", [3], at=AT)  # type: ignore[list-item]
    assert log.log_query("lone surrogate \ud800", [], at=AT)
    log.close()
    assert log.dropped == 2
    table, damaged = read_query_log([tmp_path / "2025-03-31.jsonl"])
    assert damaged == 0
    assert sorted(table["query"]) == ["kept", "lone surrogate ?"]


def test_a_full_queue_drops_and_counts_instead_of_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    log = QueryLog(tmp_path, queue_lines=3)
    append = log._append
    monkeypatch.setattr(log, "_append", lambda path, content: (free.wait(20), append(path, content)))
    for number in range(20):
        log.log_query(f"q{number}", [], at=AT)
    assert 13 <= log.dropped <= 17  # one batch may be under way while the queue holds three
    dropped = log.dropped
    free.set()
    log.close(20)
    table, _ = read_query_log([tmp_path / "2025-03-31.jsonl"])
    assert len(table) == 20 - dropped


class Said(logging.Handler):
    """Keeps what is logged; what is made of it above, which commands in this process change, does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def said() -> Iterator[Said]:
    logger, handler = logging.getLogger("domain_embed.monitoring.log_writer"), Said()
    before = logger.level, logger.disabled
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.disabled = False  # as a library may have done that configured its own logging in this process
    yield handler
    logger.removeHandler(handler)
    logger.level, logger.disabled = before


def test_a_folder_that_cannot_be_written_is_counted_and_said_once(tmp_path: Path, said: Said) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    log = QueryLog(tmp_path / "file")
    for _ in range(5):
        log.log_query("q", [], at=AT)
        log.close(20)
    assert log.dropped == 5
    assert [message.split(" (")[0] for message in said.messages] == [
        f"query log {tmp_path / 'file'}: 1 events dropped so far"
    ]


def test_a_torn_line_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = QueryLog(tmp_path)
    write, limit = os.write, [40]
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: limit.pop()] if limit else data))
    log.log_query("torn by a full disk", [], at=AT)
    log.close()
    log.log_query("whole", [], at=AT)
    log.close()
    monkeypatch.undo()
    table, damaged = read_query_log([tmp_path / "2025-03-31.jsonl"])
    assert list(table["query"]) == ["whole"]
    assert (damaged, log.dropped) == (1, 1)


WRITE_MANY = """
import sys, domain_embed
for n in range(300):
    domain_embed.log_query(sys.argv[1], f"{sys.argv[2]} {n} " + "x" * (n * 7), [("p", 0.5)] * (n % 50))
"""


def test_processes_that_append_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_MANY, str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lines = [line for path in tmp_path.iterdir() for line in path.read_text(encoding="utf-8").splitlines()]
    asked = sorted(json.loads(line)["query"].rstrip("x").split() for line in lines)
    assert asked == sorted([name, str(number)] for name in "abc" for number in range(300))


def test_a_forked_process_writes_on(tmp_path: Path) -> None:
    domain_embed.log_query(tmp_path, "of the parent", [])
    query_log(tmp_path).close()
    child = os.fork()
    if child == 0:
        domain_embed.log_query(tmp_path, "of the child", [])
        query_log(tmp_path).close(20)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    table, _ = read_query_log(tmp_path.iterdir())
    assert sorted(table["query"]) == ["of the child", "of the parent"]


def test_foreign_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "2025-03-31.jsonl"
    path.write_text('{"event": "search"}\n[]\nnot json\n\n{"event": "click", "search_id": "s", "passage_id": 7}\n',
                    encoding="utf-8")  # fmt: skip
    table, damaged = read_query_log([path])
    assert (len(table), damaged) == (0, 3)
