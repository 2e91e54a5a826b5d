"""Hostile rows, tables, query logs and settings: the product's own error, or the rest is read."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from domain_embed_tests.hostile import lines
from domain_embed_tests.hostile.replay import labels_in, replay, rows_in, searches_in, settings_of

GOOD_DOCUMENT = b'{"_id": "good", "text": "a good text"}\n'
GOOD_SEARCH = (
    b'{"event": "search", "search_id": "good", "time": "2025-03-31T12:00:00", "query": "a", '
    b'"results": [{"passage_id": "p", "score": 0.5}]}\n'
)
CORPUS, LOG, LABELS = lines.corpus_lines(), lines.log_lines(), lines.label_files()
TABLES, LARGE, SETTINGS = lines.tables(), lines.large_tables(), lines.settings()
ACCEPTED = {"bool-as-number", "larger-number", "nul-in-a-path", "two-thousand-sources"}
"""Settings that are unusual, and no fault of the file."""
Outcomes = Mapping[str, Any]


def outcomes(
    factory: pytest.TempPathFactory, target: Callable[..., Any], contents: Mapping[str, bytes], suffix: str
) -> Outcomes:
    """What the target made of a file of each content, by name."""
    folder = factory.mktemp(target.__name__)
    paths = [folder / f"{name}{suffix}" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return dict(zip(contents, replay(target, [str(path) for path in paths]), strict=True))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return outcomes(tmp_path_factory, rows_in, {name: line + b"\n" + GOOD_DOCUMENT for name, line in CORPUS.items()},
                    ".jsonl")  # fmt: skip


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_a_hostile_row_costs_only_itself(corpora: Outcomes, name: str) -> None:
    assert corpora[name] in (1, 2)


@pytest.mark.parametrize("name", ["text-deep-list", "text-many-lists", "id-many-digits", "metadata-infinite"])
def test_a_row_that_cannot_be_used_is_left_out(corpora: Outcomes, name: str) -> None:
    assert corpora[name] == 1


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return outcomes(tmp_path_factory, rows_in, TABLES | {name: make() for name, make in LARGE.items()}, "")


@pytest.mark.parametrize("name", sorted([*TABLES, *LARGE]))
def test_a_hostile_table_is_read_or_refused_by_name(tables: Outcomes, name: str) -> None:
    found = tables[name]
    assert isinstance(found, int) or (isinstance(found, str) and name in found)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    contents = {name: GOOD_SEARCH + line + b"\n" + GOOD_SEARCH.replace(b"good", b"last") for name, line in LOG.items()}
    return outcomes(tmp_path_factory, searches_in, contents, ".jsonl")


@pytest.mark.parametrize("name", sorted(LOG))
def test_a_hostile_line_of_a_query_log_costs_only_itself(logs: Outcomes, name: str) -> None:
    searches, damaged = logs[name]
    assert (searches, damaged) in ((2, 0), (2, 1), (3, 0))


@pytest.mark.parametrize(
    "name",
    ["score-text", "score-infinite", "score-nan", "score-deep-list", "score-digits-to-the-limit", "score-true",
     "query-surrogate", "passage-surrogate", "time-text", "results-object", "whole-many-digits", "whole-deep-object"],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_counted(logs: Outcomes, name: str) -> None:
    assert logs[name] == [2, 1]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    folder = tmp_path_factory.mktemp("labels")
    sources = []
    for name, (kind, content) in LABELS.items():
        (folder / f"{name}.jsonl").write_bytes(content)
        sources.append((kind, str(folder / f"{name}.jsonl")))
    return dict(zip(LABELS, replay(labels_in, sources), strict=True))


@pytest.mark.parametrize("name", sorted(LABELS))
def test_a_hostile_label_is_read_or_refused_by_file_and_line(labels: Outcomes, name: str) -> None:
    found = labels[name]
    assert isinstance(found, int) or (isinstance(found, str) and f"{name}.jsonl, line " in found and len(found) < 5000)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    folder = tmp_path_factory.mktemp("settings")
    paths = []
    for name, content in SETTINGS.items():
        (folder / name).mkdir()
        paths.append(folder / name / "domain.yaml")
        paths[-1].write_bytes(content)
    return dict(zip(SETTINGS, replay(settings_of, [str(path) for path in paths]), strict=True))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_hostile_settings_are_refused_in_few_words(settings: Outcomes, name: str) -> None:
    refusal = settings[name]
    assert isinstance(refusal, int) == (name in ACCEPTED)
    assert name in ACCEPTED or ("domain.yaml" in refusal and len(refusal.encode()) < 5000)
