"""The report is well-formed, complete, escaped, and alone in the world."""

import json
from html.parser import HTMLParser

import pytest

from domain_embed.contracts.records import Verdict
from domain_embed.evaluation.evidence import Evidence, gather_evidence
from domain_embed.evaluation.figures import count, interval, p_value, plain, signed
from domain_embed.evaluation.movement import trace_movements, unjudged
from domain_embed.evaluation.plots import Axis, change_plot, line_plot
from domain_embed.evaluation.report import PassageText, render_html, report_content
from domain_embed.evaluation.slices import SliceEffect
from domain_embed.evaluation.subject import Circumstances, Containment, Gate, Serving
from domain_embed.evaluation.training_record import TrainingRecord
from domain_embed_tests.evaluation.scenario import BASE, QRELS, RUNS, TUNED, answer_quality, subject
from domain_embed_tests.hostile_texts import IN_PAGES

VOID = {"meta", "link", "img", "br", "hr", "input"}
VERDICT = Verdict(False, ("Only 3 test queries were measured.", "tuned/dense < base/dense & so on."), objections=1)
MEASURED = Circumstances(
    gates=(Gate(name="leakage", passed=True, detail=""), Gate(name="parity of base", passed=False, detail="1 missing")),
    containment={"bm25": Containment(queries=3, shares={1: 0.25, 5: 0.5, 10: 0.75}, intervals=dict.fromkeys(
        (1, 5, 10), (0.125, 0.875)))},
    answers=answer_quality(),
    serving=(Serving(system="tuned/dense", queries=3, p50_ms=1.5, p95_ms=2.5, p99_ms=3.5, ann_recall=0.9),),
)  # fmt: skip
SLICES = (
    SliceEffect("language", "de", 12, 0.5, 0.4, -0.1, (-0.15, -0.05), 0.01, 0.02, 1, 6),
    SliceEffect("language", "en", 20, 0.5, 0.6, 0.1, (0.05, 0.15), 0.001, 0.003, 9, 2),
)
RECORD = {
    "history": {"loss": [2.0, 1.5, 1.25], "validation": [0.6, 0.7]}, "alpha": 0.5, "domain": "shop",
    "interpolation": [{"alpha": alpha, "validation": 0.6 + alpha / 10, "probes": {"faq": 0.8 - alpha / 10}}
                      for alpha in (1.0, 0.5, 0.0)],
    "forgetting": {"base": {"faq": 0.8}, "tuned": {"faq": 0.75}},
}  # fmt: skip


class Page(HTMLParser):
    """What a reader and a browser would find in a page; fails on tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    gathered, _ = gather_evidence(RUNS, QRELS, subject(champion_fingerprint="live"), MEASURED, resamples=200)
    return gathered.model_copy(update={"slices": SLICES, "dense_weights": {"base": 0.35}})


@pytest.fixture(scope="module")
def html(evidence: Evidence) -> str:
    movements = trace_movements(TUNED, BASE, QRELS)
    return render_html(
        evidence,
        VERDICT,
        movements,
        unjudged(TUNED, movements, QRELS, 10),
        queries={"q1": "<script>alert('q')</script>", "q3": "blue & green shoes"},
        passages={"d": PassageText("Shoes <b>d</b>", "word " * 100), "x": PassageText("", "")},
        record=TrainingRecord.of(RECORD),
    )


def test_decision_reasons_and_figures_are_there(html: str, evidence: Evidence) -> None:
    text = Page(html).text
    assert "Do not promote Only 3 test queries were measured. In order: tuned/dense < base/dense & so on." in text
    for system, means in evidence.systems.items():
        assert f"{system} {' '.join(plain(mean) for mean in means.values())}" in text
    for comparison in evidence.comparisons:
        assert f"{signed(comparison.delta)} {interval(comparison.ci95)} {p_value(comparison.p)}" in text
    for fact in ("shop", "12 March 2026, 14:05 UTC", "1,200 passages", "models/tuned", "0.350 in weighted fusion"):
        assert fact in text


def test_everything_that_was_measured_is_told(html: str) -> None:
    text = Page(html).text
    assert "language de 12 0.500 0.400 −0.100 −0.150 to −0.050 0.020 1 6 language en" in text  # the worst first
    assert "bm25 0.250 0.125 to 0.875 0.500" in text
    assert "tuned/dense 3 1.5 2.5 3.5 0.900" in text
    assert "small-chat answered 5 queries from the first 4 passages of each system; no decision rests on it" in text
    assert "Token F1 base/dense 3 0.250 0.125 to 0.375 +0.500 +0.250 to +0.750 0.020" in text
    assert "Token F1 tuned/dense 3 0.750 0.625 to 0.875 Supported base/dense 4 0.500" in text  # no gain over itself
    assert "judged by a model, large-chat, not by people" in text
    assert "base/dense: 4 answers judged, 1 without a judgment that can be read. " in text
    assert "tuned/dense: 1 without an answer in the passages, 4 answers judged. Prompts aaaa1111 and bbbb2222" in text
    assert "faq 0.800 0.750 −0.050" in text
    assert "Check of leakage passed" in text
    assert "Check of parity of base failed: 1 missing" in text
    assert f"{plain(evidence_detectable())} nDCG@10 four times out of five" in text


def evidence_detectable() -> float:
    found = gather_evidence(RUNS, QRELS, subject(), resamples=100)[0].detectable
    assert found is not None
    return found


def test_unjudged_passages_are_asked_about(html: str) -> None:
    text = Page(html).text
    assert "domain-embed review shop" in text
    assert "Query Rank Passage q2 1 x" in text


def test_rank_shifts_are_counted(html: str) -> None:
    """q1: from 2 to 1; q2: from 1 to 2; q3: from nowhere to 1."""
    text = Page(html).text
    assert "From \\ to 1 2–3 4–10 11–30 31–100 not found 1 1 2–3 1 4–10 11–30 31–100 not found 1" in text


def test_json_says_what_the_page_says(evidence: Evidence) -> None:
    movements = trace_movements(TUNED, BASE, QRELS)
    content = json.loads(json.dumps(report_content(evidence, VERDICT, movements, unjudged(TUNED, movements, QRELS, 1))))
    assert Evidence.from_json(content["evidence"]) == evidence
    assert content["verdict"]["objections"] == 1
    assert [one["query_id"] for one in content["moved"]["gained"]] == ["q3", "q1"]
    assert content["rank_shifts"]["queries"][0] == [0, 1, 0, 0, 0, 0]
    assert [one["passage_id"] for one in content["please_judge"]] == ["x"]


def test_texts_from_outside_are_escaped(html: str) -> None:
    page = Page(html)
    assert "script" not in page.tags
    assert "<b>d</b>" not in html
    assert "<script>alert('q')</script>" in page.text
    assert "Shoes <b>d</b>" in page.text


def page_of(evidence: Evidence, text: str) -> Page:
    """The page where every text from outside is this one."""
    movements = trace_movements(TUNED, BASE, QRELS)
    return Page(
        render_html(
            evidence.model_copy(update={"domain": text}), Verdict(False, (text,)), movements,
            unjudged(TUNED, movements, QRELS, 10), queries=dict.fromkeys(QRELS, text),
            passages=dict.fromkeys(("d", "x"), PassageText(text, text)),
        )
    )  # fmt: skip


@pytest.mark.parametrize("text", IN_PAGES)
def test_no_text_does_anything_in_the_page(evidence: Evidence, text: str) -> None:
    page, harmless = page_of(evidence, text), page_of(evidence, "harmless")
    assert page.tags == harmless.tags
    assert [name for name, _ in page.attributes] == [name for name, _ in harmless.attributes]
    assert " ".join(text.split()) in page.text


def test_nothing_is_loaded_from_anywhere(html: str) -> None:
    page = Page(html)
    assert not {"link", "img", "iframe", "object", "script"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in {"src", "href", "srcset", "xlink:href"}]
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_moves_are_told_with_ranks_and_relevance(html: str) -> None:
    text = Page(html).text
    assert "blue & green shoes +1.000 rank not found → 1" in text
    assert "In Relevant Shoes <b>d</b> word word" in text
    assert "… Out y" in text  # q3: d came in, y went; x stayed
    assert "The same passages in another order." in text  # q1
    assert "word " * 40 not in text  # long texts are shortened


def test_tables_and_pictures_can_be_heard(html: str, evidence: Evidence) -> None:
    page = Page(html)
    assert page.tags.count("caption") == page.tags.count("table") == 9
    assert {value for name, value in page.attributes if name == "scope"} == {"row", "col"}
    labels = [value for name, value in page.attributes if name == "aria-label" and value != "to"]
    rows = len(evidence.systems) + len(evidence.comparisons) + len(SLICES)
    assert page.tags.count("svg") == len(labels) == rows + 1 + 4
    assert "Training loss: from 2.000 to 1.250." in labels
    assert "language: de, 12 queries: −0.100, 95 % interval −0.150 to −0.050" in labels
    assert "nDCG@10 on probes outside the domain: from 0.800 to 0.700." in labels


def test_what_is_not_known_is_left_out() -> None:
    bare = gather_evidence(RUNS, QRELS, subject(), resamples=100)[0]
    text = Page(render_html(bare, Verdict(True, ("Yes.",)), [], queries={}, passages={})).text
    assert "Promote Yes." in text
    for heading in (
        "How training went",
        "How single queries moved",
        "For whom",
        "hold the answer",
        "Are answers",
        "How it serves",
    ):
        assert heading not in text
    assert "Please judge" not in text


def test_more_unrelated_passages_are_counted_not_listed(evidence: Evidence) -> None:
    movements = trace_movements({"q3": ["d", "e", "f", "g", "h"]}, {}, {"q3": {"d": 1}})
    text = Page(render_html(evidence, VERDICT, movements, queries={}, passages={})).text
    assert "In Relevant d e f and 2 others Out nothing" in text


def test_figures_as_people_write_them() -> None:
    assert [plain(0.6184), plain(0.0), plain(0.0003)] == ["0.618", "0.000", "0.0003"]
    assert [signed(0.2), signed(-0.014), signed(0)] == ["+0.200", "−0.014", "0.000"]
    assert interval((-0.01, 0.02)) == "−0.010 to +0.020"
    assert [p_value(0.0321), p_value(0.0001)] == ["0.032", "< 0.001"]
    assert [count(1, "query"), count(18400, "query"), count(2, "passage"), count(0)] == [
        "1 query",
        "18,400 queries",
        "2 passages",
        "0",
    ]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.61, 0.84, ["0.60", "0.65", "0.70", "0.75", "0.80", "0.85"]),
        (0.5, 0.5, ["0.5", "0.6"]),
        (0.0, 0.0, ["0.0", "0.2"]),
        (-0.5, 1.0, ["−0.5", "0.0", "0.5", "1.0"]),
    ],
)
def test_axis_runs_over_round_numbers(low: float, high: float, labels: list[str]) -> None:
    axis = Axis(low, high)
    assert [tick.label for tick in axis.ticks()] == labels
    assert (axis.ticks()[0].at, axis.ticks()[-1].at) == (0, 100)


def test_tight_axis_ends_with_its_data_on_whole_steps() -> None:
    axis = Axis(1, 3, tight=True, whole=True)
    assert [(tick.at, tick.label) for tick in axis.ticks()] == [(0, "1"), (50, "2"), (100, "3")]


def test_change_plot_draws_gains_above_and_losses_below_zero() -> None:
    gains, losses, zero = change_plot([-1.0, 0.0, 1.0, 0.0]).paths
    assert gains.data == "M0,50V0H25.00V50H50.00V50H75.00V50H100.00V50Z"
    assert losses.data == "M0,50V50H25.00V50H50.00V50H75.00V100H100.00V50Z"
    assert zero.data == "M0,50H100"


def test_plots_of_a_single_or_of_many_points() -> None:
    assert line_plot([(1, 0.5)], "Loss").summary == "Loss: from 0.500 to 0.500."
    assert line_plot([(n, 1 / (n + 1)) for n in range(5000)], "Loss").paths[0].data.count("L") == 799
    assert change_plot([0.0, 0.0]).paths[0].data.startswith("M0")
