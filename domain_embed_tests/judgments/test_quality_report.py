"""The quality report: everything at once on a real domain, its verdict, and its page."""

import json
from dataclasses import replace

import pytest

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.notes import Note
from domain_embed.contracts.tables import FINDINGS
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.judgments.leakage import Leakage
from domain_embed.judgments.quality.checks import CHECKS, severities
from domain_embed.judgments.quality.page import SHOWN_PER_CHECK, render_html
from domain_embed.judgments.quality.report import Material, QualityReport, examine, sample_by_passage
from domain_embed.judgments.quality.summary import as_json, summary_text, verdict
from domain_embed.judgments.splits import split_judgments
from domain_embed.settings import QualitySettings, SplitSettings
from domain_embed_tests import scenario
from domain_embed_tests.encoding.fakes import MemoryTable
from domain_embed_tests.evaluation.test_report import Page
from domain_embed_tests.hostile_texts import IN_PAGES
from domain_embed_tests.judgments.quality_material import (
    collection_of,
    everything_on,
    judged,
    judgment_table,
    labels,
    passages,
)

ROWS = [(query.query_id, query.text, passage_id, grade) for query, passage_id, grade in scenario.PAIRS]
LABELS = labels(*((query_id, query, passage_id, grade, "s") for query_id, query, passage_id, grade in ROWS))
PASSAGES = passages({one.passage_id: f"{one.title} {one.text}" for one in scenario.CORPUS})


def material(splits: MemoryTable | None = None) -> Material:
    judgments = judgment_table(ROWS)
    made = splits or MemoryTable(split_judgments(judgments.read(), scenario.SETTINGS.splits).table)
    return Material(PASSAGES, LABELS, judgments, made)


def examined(
    minilm: TorchEncoder, of: Material, settings: QualitySettings, splits: SplitSettings = scenario.SETTINGS.splits
) -> QualityReport:
    counter = TokenCounter(minilm.tokenizer)
    return examine(of, collection_of(PASSAGES, minilm), minilm, counter, 64, settings, splits)


@pytest.fixture(scope="module")
def clean(minilm: TorchEncoder) -> QualityReport:
    return examined(minilm, material(), QualitySettings())


def with_findings(severity: dict[str, int]) -> QualityReport:
    """A report in which each named check found so many things."""
    findings = everything_on()
    for check, count in severity.items():
        for number in range(count):
            findings.add(check, "query", f"<b>culprit</b> {number}", query_id=f"q{number}")
    counts = {**dict.fromkeys(CHECKS.keys() - {"personal_data"}, 0), **severity}
    return QualityReport(
        findings.table(), counts, severities(QualitySettings()),
        Leakage({"train & test": 0}, {"train & test": 0}), None, None, {"passages": 1234},
    )  # fmt: skip


def test_a_good_domain_has_no_errors_and_few_warnings(clean: QualityReport) -> None:
    assert clean.found("error") == []
    assert not clean.blocking
    assert clean.findings.schema == FINDINGS
    assert set(clean.counts) == set(CHECKS) - {"personal_data"}
    # Two questions share no word and little meaning with their answer; of 14 the words alone answer most.
    assert {name: count for name, count in clean.counts.items() if count} == {"suspect_label": 2, "easy_test": 1}
    assert clean.totals == {
        "passages": 40, "labels": 65, "judgments": 65, "queries": 60,
        "test queries": 14, "train queries": 36, "validation queries": 10,
    }  # fmt: skip
    assert clean.difficulty is not None
    assert clean.difficulty.queries == 14
    assert clean.inflation is not None
    assert (clean.inflation.actual, clean.inflation.naive > 0) == (0.0, True)


def test_leaking_splits_block_unless_they_were_given(minilm: TorchEncoder) -> None:
    parts = ["test" if number % 2 else "train" for number in range(len(ROWS))]
    leaking = material(judgment_table(ROWS, parts))
    report = examined(minilm, leaking, QualitySettings())
    assert report.blocking
    assert report.found("error") == ["leakage"]
    assert [row["detail"] for row in report.findings.to_pylist() if row["check"] == "leakage"] == [
        "train & test share 5 query texts",
        "train & test share 21 positives",
    ]
    given = SplitSettings(strategy="given")
    assert not examined(minilm, leaking, QualitySettings(), given).blocking
    assert examined(minilm, leaking, QualitySettings(severity={"leakage": "error"}), given).blocking


def test_an_unknown_check_is_an_error_before_any_work(minilm: TorchEncoder) -> None:
    with pytest.raises(SettingsError, match="unknown check nonsense"):
        examined(minilm, material(), QualitySettings(severity={"nonsense": "off"}))


def test_samples_keep_judgments_of_a_passage_together() -> None:
    rows = judged(*((f"q{n}", f"question {n}", f"p{n % 20}") for n in range(100)))
    sample = sample_by_passage(rows, 30, seed=0)
    assert len(sample) == 30
    assert sample["passage_id"].value_counts().eq(5).all()
    assert sample_by_passage(rows, 100, seed=0) is rows
    assert sample_by_passage(rows, 3, seed=0)["passage_id"].nunique() == 1


# --- in words -------------------------------------------------------------------------------------------


def test_the_verdict_names_what_stops_a_run() -> None:
    assert verdict(with_findings({"leakage": 1, "short_text": 2})) == (
        "To be mended before training: splits share queries or positives."
    )
    assert verdict(with_findings({"short_text": 2})) == "1 warning: near-empty passages."
    assert verdict(with_findings({"duplicate_query": 2})) == "No errors and no warnings."


def test_the_summary_lists_the_worst_first() -> None:
    lines = summary_text(with_findings({"duplicate_query": 3, "short_text": 1200, "leakage": 1})).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["error", "leakage", "1"], ["warn", "short_text", "1,200"], ["info", "duplicate_query", "3"],
    ]  # fmt: skip


def test_the_summary_ends_with_difficulty_and_inflation(clean: QualityReport) -> None:
    text = summary_text(clean)
    assert "Of 14 test queries BM25 answers" in text
    assert "Memory alone scores nDCG@10 0.000 on this split" in text


def test_all_of_it_is_json(clean: QualityReport) -> None:
    told = json.loads(json.dumps(as_json(clean)))
    assert told["blocking"] is False
    assert told["checks"]["leakage"] == {"severity": "error", "count": 0}
    assert told["difficulty"]["queries"] == 14
    assert told["inflation"]["inflation"] == pytest.approx(told["inflation"]["naive"])


# --- the page -------------------------------------------------------------------------------------------


def test_the_page_says_verdict_cost_and_remedy_and_shows_the_culprits() -> None:
    html = render_html(
        with_findings({"short_text": SHOWN_PER_CHECK + 7}),
        "shop & co",
        {"documents": [Note("left out: 1 file", ("<b>.adoc: no reader",))]},
    )
    assert "<h1>shop &amp; co</h1>" in html
    assert "1,234 passages" in html
    for words in (CHECKS["short_text"].title, CHECKS["short_text"].cost, CHECKS["short_text"].remedy):
        assert words in html
    assert html.count("&lt;b&gt;culprit&lt;/b&gt;") == SHOWN_PER_CHECK
    assert "<b>culprit" not in html
    assert "and 7 more" in html
    assert "documents: left out: 1 file" in html
    assert "&lt;b&gt;.adoc: no reader" in html


@pytest.mark.parametrize("text", IN_PAGES)
def test_no_text_does_anything_in_the_page(text: str) -> None:
    findings = everything_on()
    findings.add("short_text", "passage", text, query_id=text, passage_id=text)
    report = replace(with_findings({"short_text": 1}), findings=findings.table())
    page = Page(render_html(report, text, {"documents": (Note(text, (text,)),)}))
    assert not {"script", "img", "svg", "iframe"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "autofocus"]
    assert not [value for name, value in page.attributes if name == "href" and not str(value).startswith("#")]
    assert " ".join(text.split()) in page.text


def test_the_page_loads_nothing(clean: QualityReport) -> None:
    html = render_html(clean, "runbooks", {})
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html
    assert "Nothing stops a run" in html
    assert "Not looked for: personal data." in html
