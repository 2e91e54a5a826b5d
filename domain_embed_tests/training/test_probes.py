"""Probes: what of a BEIR folder is asked, by hand, and what cannot be one."""

import json
from pathlib import Path

import pytest

from domain_embed.contracts.errors import InputError, TrainingError
from domain_embed.settings import ForgettingSettings
from domain_embed.training import probes
from domain_embed.training.probes import Probe, read_probe, read_probes, require_other_subject

TOPICS = ("whale", "lion", "eagle", "shark", "horse", "beetle")


def lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def beir(folder: Path, name: str = "animals", *, split: str = "test") -> Path:
    """Six queries, each answered by one passage; twenty passages on nothing in particular, and one near each query."""
    root = folder / name
    (root / "qrels").mkdir(parents=True)
    answers = [{"_id": f"a-{topic}", "title": topic, "text": f"how the {topic} lives"} for topic in TOPICS]
    near = [{"_id": f"n-{topic}", "title": "", "text": f"a {topic} was seen"} for topic in TOPICS]
    filler = [{"_id": f"f-{n}", "title": "", "text": f"paragraph {n} about nothing"} for n in range(20)]
    lines(root / "corpus.jsonl", [*filler, *near, *answers])
    lines(root / "queries.jsonl", [{"_id": f"q-{topic}", "text": f"{topic} life"} for topic in TOPICS])
    rows = "".join(f"q-{topic}\ta-{topic}\t1\nq-{topic}\tn-{topic}\t0\n" for topic in TOPICS)
    (root / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows, encoding="utf-8")
    return root


def test_answers_and_near_misses_come_before_anything_else(tmp_path: Path) -> None:
    probe = read_probe(beir(tmp_path), ForgettingSettings(max_passages=12))
    assert probe.name == "animals"
    assert sorted(probe.queries) == sorted(f"{topic} life" for topic in TOPICS)
    assert probe.qrels == {f"q-{topic}": {f"a-{topic}": 1} for topic in TOPICS}
    assert sorted(probe.passage_ids) == sorted(f"{kind}-{topic}" for kind in "an" for topic in TOPICS)
    assert dict(zip(probe.passage_ids, probe.passages, strict=True))["a-lion"] == "lion how the lion lives"


@pytest.mark.parametrize(("queries", "passages", "asked"), [(2, 1000, 2), (100, 10, 5), (100, 1000, 6)])
def test_queries_and_pool_are_bounded(tmp_path: Path, queries: int, passages: int, asked: int) -> None:
    probe = read_probe(beir(tmp_path), ForgettingSettings(max_queries=queries, max_passages=passages))
    assert len(probe.queries) == len(probe.query_ids) == len(probe.qrels) == asked
    assert len(probe.passage_ids) == len(set(probe.passage_ids)) <= passages
    assert {passage for judged in probe.qrels.values() for passage in judged} <= set(probe.passage_ids)


def test_the_sample_is_the_same_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    one, other = beir(tmp_path / "one"), beir(tmp_path / "other")
    rows = (other / "corpus.jsonl").read_text().splitlines()
    (other / "corpus.jsonl").write_text("\n".join(reversed(rows)) + "\n")
    settings = ForgettingSettings(max_queries=3, max_passages=10)
    first, second = read_probe(one, settings), read_probe(other, settings)
    assert first.query_ids == second.query_ids
    assert len(first.query_ids) == 3


def test_of_a_large_corpus_a_sample_is_enough_and_no_answer_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "CANDIDATES", 4)
    probe = read_probe(beir(tmp_path), ForgettingSettings())
    assert len(probe.passage_ids) == len(TOPICS) + 4
    assert {f"a-{topic}" for topic in TOPICS} < set(probe.passage_ids)


def test_long_passages_are_cut(tmp_path: Path) -> None:
    root = beir(tmp_path)
    with (root / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "long", "title": "", "text": 999 * "whale "}) + "\n")
    probe = read_probe(root, ForgettingSettings())
    assert len(dict(zip(probe.passage_ids, probe.passages, strict=True))["long"]) == probes.CHARACTERS


@pytest.mark.parametrize("split", ["train", "dev"])
def test_without_a_test_split_another_is_asked(tmp_path: Path, split: str) -> None:
    assert len(read_probe(beir(tmp_path, split=split), ForgettingSettings()).queries) == 6


def test_versions_are_of_the_content(tmp_path: Path) -> None:
    settings = ForgettingSettings()
    one, same, other = beir(tmp_path / "1"), beir(tmp_path / "2"), beir(tmp_path / "3")
    text = (other / "queries.jsonl").read_text()
    (other / "queries.jsonl").write_text(text.replace("lion life", "lion death"))
    assert read_probe(one, settings).version == read_probe(same, settings).version
    assert read_probe(one, settings).version != read_probe(other, settings).version


def test_relative_folders_count_from_the_domains(tmp_path: Path) -> None:
    beir(tmp_path, "animals")
    beir(tmp_path / "elsewhere", "plants")
    settings = ForgettingSettings(probes=("../animals", str(tmp_path / "elsewhere" / "plants")))
    assert [probe.name for probe in read_probes(tmp_path / "domain", settings)] == ["animals", "plants"]


# --- what cannot be one ---------------------------------------------------------------------------------


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = tuple(str(beir(tmp_path / number, "animals")) for number in "12")
    with pytest.raises(InputError, match="two folders of one name: animals, animals"):
        read_probes(tmp_path, ForgettingSettings(probes=paths))


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_what_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    root = beir(tmp_path)
    (root / missing).unlink()
    with pytest.raises(InputError, match=f"the BEIR layout needs: {root}/{missing.split('/')[0]}"):
        read_probe(root, ForgettingSettings())


def test_judgments_of_another_corpus_are_refused(tmp_path: Path) -> None:
    root = beir(tmp_path)
    (root / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq-lion\tnowhere\t1\n")
    with pytest.raises(InputError, match=r"none of its judged passages is in corpus\.jsonl"):
        read_probe(root, ForgettingSettings())


def test_the_domain_itself_is_no_probe() -> None:
    probe = Probe("mine", ["a", "b"], ["How  it works", "else"], ["p"], ["text"], {"a": {"p": 1}, "b": {"p": 1}})
    with pytest.raises(TrainingError, match="50% of the queries of probe 'mine' are training queries"):
        require_other_subject(probe, ["how it works"])
    require_other_subject(probe, ["something different"])
