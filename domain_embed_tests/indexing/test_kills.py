"""Killed at any moment, out of disk, or two at once: what is live is complete, and the next run ends as one alone.

DOMAIN_EMBED_SLOW=1 kills fifty times instead of eight.
"""

import multiprocessing as mp
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain_embed.contracts.records import embedded_text
from domain_embed.stores.edge import EdgeStore
from domain_embed_tests.indexing.lifecycle import LIVE, STEPS, TABLES, log_of, on_a_full_disk, vector_of

KILLS = 50 if os.environ.get("DOMAIN_EMBED_SLOW") else 8
NAMES = list(STEPS)
FORKED = mp.get_context("forkserver")
FORKED.set_forkserver_preload(["domain_embed_tests.indexing.lifecycle"])
PATIENCE_S = 120


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, float]]:
    """For each step: the folder as it was before, and how long the step takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    states = {}
    for name in NAMES:
        before = folder.parent / f"before-{name}"
        shutil.copytree(folder, before)
        started = time.monotonic()
        run(name, folder)
        states[name] = (before, time.monotonic() - started)
    states["end"] = (folder, 0.0)
    return states


def run(name: str, folder: Path) -> None:
    process = FORKED.Process(target=STEPS[name], args=(folder,))
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode == 0


def finish(folder: Path, name: str) -> None:
    """What a person does after an interruption: the same step again, and then what comes after it."""
    for later in NAMES[NAMES.index(name) :]:
        run(later, folder)


def content(folder: Path) -> dict[str, Any]:
    """Everything that is there, as plain values: collections, what is live, and the moves that led there."""
    store = EdgeStore(folder / "index")
    found: dict[str, Any] = {"live": store.alias(LIVE)}
    for info in store.collections():
        reader = store.open(info.name)
        points = reader.fetch(sorted(content.passage_id for content in reader.contents()))
        found[info.name] = [
            (p.passage_id, p.text, p.content_hash, p.dense.round(5).tolist(), p.sparse.indices.tolist()) for p in points
        ]
        reader.close()
    return found


def assert_sound(folder: Path) -> None:
    """What is visible is complete and of one model, and what is live is among it."""
    store = EdgeStore(folder / "index")
    names = {info.name for info in store.collections()}
    live = store.alias(LIVE)
    assert live is None or live in names
    for info in store.collections():
        reader = store.open(info.name)
        expected = {p.passage_id: embedded_text(p.title, p.text) for p in TABLES[info.passages_version]}
        points = reader.fetch(list(expected))
        assert reader.count() == info.count == len(points) == len(expected)
        for point in points:
            assert point.text in expected[point.passage_id]
            right = vector_of(info.fingerprint, expected[point.passage_id])
            np.testing.assert_allclose(point.dense, right, atol=1e-5)
        reader.close()
    log_of(folder).read()


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_any_moment(undisturbed: dict[str, tuple[Path, float]], tmp_path: Path, number: int) -> None:
    name = NAMES[number % len(NAMES)]
    before, seconds = undisturbed[name]
    folder = tmp_path / "domain"
    shutil.copytree(before, folder)
    process = FORKED.Process(target=STEPS[name], args=(folder,))
    process.start()
    time.sleep(random.Random(number).uniform(0, seconds))
    process.kill()
    process.join()
    assert_sound(folder)
    finish(folder, name)
    assert_sound(folder)
    assert content(folder) == content(undisturbed["end"][0])


@pytest.mark.parametrize(
    ("name", "file_bytes"),
    [("first_build", 0), ("first_build", 100_000), ("promotion", 2_000), ("promotion", 5_000_000)],
)
def test_out_of_disk(undisturbed: dict[str, tuple[Path, float]], tmp_path: Path, name: str, file_bytes: int) -> None:
    folder = tmp_path / "domain"
    shutil.copytree(undisturbed[name][0], folder)
    process = FORKED.Process(target=on_a_full_disk, args=(folder, name, file_bytes))
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode in (0, 3)
    assert_sound(folder)
    finish(folder, name)
    assert content(folder) == content(undisturbed["end"][0])


def test_two_at_once(undisturbed: dict[str, tuple[Path, float]], tmp_path: Path) -> None:
    folder = tmp_path / "domain"
    folder.mkdir()
    for name in NAMES[:3]:
        both = [FORKED.Process(target=STEPS[name], args=(folder,)) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join(PATIENCE_S)
        assert [process.exitcode for process in both] == [0, 0]
        assert_sound(folder)
    run("rollback", folder)
    assert content(folder) == content(undisturbed["end"][0])
