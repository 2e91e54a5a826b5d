"""The whole diagnosis of the runbooks domain by the real base model, and its page."""

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser

import numpy as np
import pytest

from domain_embed.contracts.records import Hit
from domain_embed.diagnosis import adapter, probe, symptoms
from domain_embed.diagnosis.causes import CAUSES
from domain_embed.diagnosis.diagnose import Diagnosis, Example, Material, diagnose
from domain_embed.diagnosis.estimate import for_training
from domain_embed.diagnosis.extrapolation import extrapolate
from domain_embed.diagnosis.page import render_html
from domain_embed.diagnosis.rankings import Rankings
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import DiagnosisSettings, DomainSettings, QualitySettings, TrainingSettings
from domain_embed.training.validation import ValidationSet
from domain_embed_tests.diagnosis.faults import PARTS, QRELS, TEXTS, label_table, passage_table
from domain_embed_tests.evaluation.test_report import Page
from domain_embed_tests.hostile_texts import IN_PAGES
from domain_embed_tests.judgments.quality_material import collection_of, judgment_table
from domain_embed_tests.scenario import SETTINGS

ABOUT = {"domain": "<runbooks>", "created_at": "2026-03-12T14:05:00+00:00", "base_fingerprint": "abc"}
MISSING = "holidays"


def material(encoder: TorchEncoder, base: str) -> Material:
    """A third of the queries validates, a third trains, a third tests; one label names a document that is not there."""
    rows = [(key, TEXTS[key], one, grade) for key, grades in QRELS.items() for one, grade in grades.items()]
    thirds = ("validation", "train", "test")
    splits = [thirds[int(key[1:]) % 3] for key, *_ in rows]
    table = passage_table(PARTS)
    labels = label_table(
        [*((key, text, one, None) for key, text, one, _ in rows), ("lost", "who is off", MISSING, None)]
    )
    return Material(
        judgment_table(rows, splits).read(),
        labels,
        set(TEXTS),
        table,
        table,
        collection_of(table, encoder),
        encoder,
        base,
    )


@pytest.fixture(scope="module")
def found(minilm: TorchEncoder, minilm_path: str) -> Diagnosis:
    """With a probe and an adapter although the domain is too small for either to mean anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "FEWEST_PAIRS", 8)
        patch.setattr(adapter, "FEWEST_PAIRS", 8)
        patch.setattr(probe, "RECIPE", probe.RECIPE.model_copy(update={"batch_size": 8, "max_tokens": 32}))
        return diagnose(material(minilm, minilm_path), SETTINGS)


def test_suspect_labels_are_told_by_the_quality_settings_of_the_domain(
    minilm: TorchEncoder, minilm_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(symptoms, "suspect_depth", lambda settings, _: (seen.append(settings.suspect_depth), 10)[1])
    settings = SETTINGS.model_copy(
        update={
            "diagnosis": DiagnosisSettings(probe_pairs=0, adapter_queries=0),
            "quality": QualitySettings(suspect_depth=77),
        }
    )
    diagnose(material(minilm, minilm_path), settings)
    assert seen == [77]


def test_the_estimate_is_shown_for_the_epochs_of_the_domain(found: Diagnosis) -> None:
    stored = json.loads(json.dumps(asdict(found)))
    usual, six, open_ = (for_training(stored, TrainingSettings(epochs=one)) for one in (2, 6, "auto"))
    levers = [next(one for one in shown["levers"] if one["name"] == "fine_tuning") for shown in (usual, six, open_)]
    kept = next(one for one in stored["levers"] if one["name"] == "fine_tuning")
    assert [one["title"] for one in levers] == [
        "Fine-tuning, 2 epochs",
        "Fine-tuning, 6 epochs",
        "Fine-tuning, 2 epochs",
    ]
    assert (
        (levers[0]["gain"], levers[0]["ci95"]) == (kept["gain"], kept["ci95"]) == (levers[2]["gain"], levers[2]["ci95"])
    )
    probed = stored["probe"]
    expected = extrapolate(
        probed["gain"], tuple(probed["ci95"]), probed["pairs"], 6 * probed["train_pairs"],
        1 - stored["systems"][stored["served"]],
    )  # fmt: skip
    assert (levers[1]["gain"], tuple(levers[1]["ci95"])) == expected
    assert levers[1]["gain"] > levers[0]["gain"]
    assert levers[1]["seconds"] - probed["embed_s"] == pytest.approx(3 * (levers[0]["seconds"] - probed["embed_s"]))
    assert six["recommendation"] == stored["recommendation"]


def test_a_diagnosis_of_an_earlier_version_is_shown_as_it_is(found: Diagnosis) -> None:
    stored = json.loads(json.dumps(asdict(found)))
    stored["probe"] = {"pairs": 20, "queries": 20, "pool": 40}
    assert for_training(stored, TrainingSettings(epochs=6)) == stored
    assert for_training({**stored, "probe": None}, TrainingSettings()) == {**stored, "probe": None}


def test_what_was_timed_makes_no_other_diagnosis(found: Diagnosis) -> None:
    assert found.probe is not None
    slower = replace(found, probe={**found.probe, "train_s": 99.0, "embed_s": 99.0})
    assert slower.version() == found.version()
    assert replace(found, probe={**found.probe, "gain": 9.0}).version() != found.version()


@pytest.mark.parametrize(("rrf_k", "first"), [(1, "top"), (60, "both")])
def test_the_probe_fuses_by_the_rank_constant_of_the_domain(rrf_k: int, first: str) -> None:
    """Ranks 1 and 10 are more than twice rank 4 where a rank counts much, and less where it counts little."""
    sparse = [Hit(one, 10.0 - place) for place, one in enumerate([*"uvw", "both", *"xyzrs", "top"])]
    rankings = Rankings({"q": "ask"}, {"q": {"top": 1}}, {"sparse": [sparse]}, {})
    ids = ["top", "k", "l", "both"]
    pool = ValidationSet(["q"], ["ask"], ids, ids, ids, {"q": {"top": 1}}, {})
    passages = np.array([[0.9], [0.8], [0.7], [0.6]], np.float32)
    run = probe.Fusion(rankings, "hybrid", 0.5, rrf_k).run(pool, np.ones((1, 1), np.float32), passages)
    assert run["q"][0] == first


def test_only_queries_that_test_nothing_are_looked_at(found: Diagnosis) -> None:
    assert (found.queries, found.validation) == (40, 20)
    shown = {example.query_id for cause in found.causes for example in cause.examples}
    assert not {key for key in shown if key in TEXTS and int(key[1:]) % 3 == 2}


def test_every_failure_is_counted_once(found: Diagnosis) -> None:
    counts = {one.cause: one.queries for one in found.causes}
    assert list(counts) == list(CAUSES)
    assert counts["missing"] == 1
    assert sum(counts.values()) - counts["missing"] == found.failures
    missing = found.causes[0]
    assert (missing.of, missing.examples[0].why) == (61, f"the corpus holds no {MISSING}")


def test_levers_are_measured_estimated_and_bounded(found: Diagnosis) -> None:
    kinds = {lever.name: lever.kind for lever in found.levers}
    assert kinds["bm25"] == kinds["hybrid"] == kinds["weighted"] == kinds["adapter"] == "measured"
    assert kinds["fine_tuning"] == "estimated"
    assert kinds["reranker"] == kinds["documents"] == "bound"
    tuning = next(lever for lever in found.levers if lever.name == "fine_tuning")
    assert tuning.reembeds == len(PARTS)
    assert tuning.ci95[0] < tuning.gain < tuning.ci95[1]
    assert found.probe is not None
    assert found.probe["queries"] == 20
    by_pair = {(one.challenger, one.baseline): one.delta for one in found.comparisons}
    assert by_pair["bm25", "base/dense"] == pytest.approx(found.systems["bm25"] - found.systems["base/dense"])


def test_version_knows_content_and_no_clock(found: Diagnosis) -> None:
    slower = [replace(lever, seconds=lever.seconds + 100) for lever in found.levers]
    assert replace(found, levers=tuple(slower)).version() == found.version()
    assert replace(found, failures=found.failures + 1).version() != found.version()


def test_it_is_json(found: Diagnosis) -> None:
    stored = json.loads(json.dumps(asdict(found)))
    assert stored["recommendation"]["fine_tune"] in ("yes", "no", "open")
    assert stored["causes"][0]["cause"] == "missing"


def test_nothing_is_trained_where_nothing_is_asked_for(minilm: TorchEncoder, minilm_path: str) -> None:
    quick = SETTINGS.model_copy(update={"diagnosis": DiagnosisSettings(probe_pairs=0, adapter_queries=0, queries=20)})
    found = diagnose(material(minilm, minilm_path), quick)
    assert {"adapter", "fine_tuning"} & {lever.name for lever in found.levers} == set()
    assert found.probe is None
    assert found.queries == 20
    assert found.recommendation.fine_tune == "open"


def test_another_served_mode_is_the_yardstick(minilm: TorchEncoder, minilm_path: str) -> None:
    settings = DomainSettings(
        model=SETTINGS.model, diagnosis=DiagnosisSettings(probe_pairs=0),
        retrieval=SETTINGS.retrieval.model_copy(update={"mode": "hybrid"}),
    )  # fmt: skip
    found = diagnose(material(minilm, minilm_path), settings)
    assert found.served == "base/hybrid"
    dense = next(lever for lever in found.levers if lever.name == "dense")
    assert dense.gain == pytest.approx(found.systems["base/dense"] - found.systems["base/hybrid"])


class _Ids(HTMLParser):
    """Anchors and their targets, and what is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.ids, self.links, self.loaded = set[str](), set[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {values["id"] or ""} if "id" in values else set()
        if tag == "a":
            self.links.add((values.get("href") or "").removeprefix("#"))
        if tag in ("script", "link", "img") or values.get("src"):
            self.loaded.append(tag)


def test_page_stands_alone_and_escapes(found: Diagnosis) -> None:
    page = render_html(found, ABOUT)
    parsed = _Ids()
    parsed.feed(page)
    assert parsed.loaded == []
    assert parsed.links <= parsed.ids
    assert "<runbooks>" not in page
    assert "&lt;runbooks&gt;" in page
    assert found.recommendation.headline in page
    for lever in found.levers:
        assert lever.title in page
    assert "never one of the test set" in page


def page_of(found: Diagnosis, text: str) -> Page:
    """The page where every text from outside is this one."""
    example = Example(text, text, text, text, text)
    causes = tuple(replace(one, queries=max(one.queries, 1), examples=(example,)) for one in found.causes)
    advice = replace(found.recommendation, headline=text, reasons=(text,))
    return Page(render_html(replace(found, causes=causes, recommendation=advice), {**ABOUT, "domain": text}))


def test_no_text_does_anything_in_the_page(found: Diagnosis) -> None:
    harmless = page_of(found, "harmless")
    for text in IN_PAGES:
        page = page_of(found, text)
        assert page.tags == harmless.tags
        assert [name for name, _ in page.attributes] == [name for name, _ in harmless.attributes]
        assert " ".join(text.split()) in page.text


def test_page_of_a_domain_without_failures(found: Diagnosis) -> None:
    perfect = replace(found, failures=0, causes=tuple(replace(one, queries=0, examples=()) for one in found.causes))
    assert "None fails." in render_html(perfect, ABOUT)
