"""The audit trail: one line a deed, whoever writes at once, and nothing is ever rewritten."""

import multiprocessing
import stat
from pathlib import Path

import pytest

from domain_embed.audit import AUDIT_FILE, AuditTrail
from domain_embed.contracts.errors import StoreError


def test_a_deed_is_known_with_who_when_where_and_why(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / ".store")
    trail.record("promote", "aws", source="old", target="new", reason="better", model="abc")
    trail.record("erase", "hr", target="doc-1")

    (line,) = trail.read("aws")
    assert (line.deed, line.source, line.target, line.reason) == ("promote", "old", "new", "better")
    assert line.details == {"model": "abc"}
    assert "@" in line.who
    assert line.at.endswith("+00:00")
    assert [one.domain for one in trail.read()] == ["aws", "hr"]


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    AuditTrail(tmp_path / ".store").record("prune", "aws")

    assert stat.S_IMODE((tmp_path / ".store" / AUDIT_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / ".store").stat().st_mode) == 0o700


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_record_many, [(tmp_path, name) for name in "abcd"])

    lines = list(AuditTrail(tmp_path).read())
    assert sorted(line.reason for line in lines) == sorted(
        f"{name}{n} " + "x" * 2000 for name in "abcd" for n in range(50)
    )


def _record_many(folder: Path, name: str) -> None:
    for number in range(50):
        AuditTrail(folder).record("access", name, reason=f"{name}{number} " + "x" * 2000)


def test_nothing_was_done_before_the_first_deed(tmp_path: Path) -> None:
    assert list(AuditTrail(tmp_path).read()) == []


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path)
    trail.record("export", "aws")
    with (tmp_path / AUDIT_FILE).open("a") as file:
        file.write("nothing\n")

    with pytest.raises(StoreError, match="line 2"):
        list(trail.read())
