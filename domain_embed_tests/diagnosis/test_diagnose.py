"""The whole diagnosis of the runbooks domain by the real base model, and its page."""

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest

from domain_embed.diagnosis import adapter, probe
from domain_embed.diagnosis.causes import CAUSES
from domain_embed.diagnosis.diagnose import Diagnosis, Example, Material, diagnose
from domain_embed.diagnosis.page import render_html
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import DiagnosisSettings, DomainSettings
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
