"""The report is well-formed, complete, escaped, and alone in the world."""

from html.parser import HTMLParser

import pytest

from domain_embed.contracts.records import Verdict
from domain_embed.evaluation.evidence import Evidence, gather_evidence
from domain_embed.evaluation.figures import count, interval, p_value, plain, signed
from domain_embed.evaluation.movement import trace_movements
from domain_embed.evaluation.plots import Axis, change_plot, line_plot
from domain_embed.evaluation.report import Curves, PassageText, render_html
from domain_embed_tests.evaluation.scenario import BASE, QRELS, RUNS, TUNED, subject

VOID = {"meta", "link", "img", "br", "hr", "input"}
VERDICT = Verdict(promote=False, reasons=("Only 3 test queries were measured.", "tuned/dense < base/dense & so on."))


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
    return gather_evidence(RUNS, QRELS, subject(champion_fingerprint="live-fingerprint"), resamples=200)[0]


@pytest.fixture(scope="module")
def html(evidence: Evidence) -> str:
    return render_html(
        evidence,
        VERDICT,
        trace_movements(TUNED, BASE, QRELS),
        queries={"q1": "<script>alert('q')</script>", "q3": "blue & green shoes"},
        passages={"d": PassageText("Shoes <b>d</b>", "word " * 100), "x": PassageText("", "")},
        curves=Curves(loss=[(1, 2.0), (2, 1.5), (3, 1.25)], validation=[(1, 0.6), (2, 0.7)]),
    )


def test_decision_reasons_and_figures_are_there(html: str, evidence: Evidence) -> None:
    text = Page(html).text
    assert "Do not promote Only 3 test queries were measured. tuned/dense < base/dense & so on." in text
    for system, means in evidence.systems.items():
        assert f"{system} {' '.join(plain(mean) for mean in means.values())}" in text
    for comparison in evidence.comparisons:
        assert f"{signed(comparison.delta)} {interval(comparison.ci95)} {p_value(comparison.p)}" in text
    for fact in ("shop", "12 March 2026, 14:05 UTC", "1,200 passages", "live-fingerprint", "models/tuned"):
        assert fact in text


def test_texts_from_outside_are_escaped(html: str) -> None:
    page = Page(html)
    assert "script" not in page.tags
    assert "b" not in page.tags[page.tags.index("ol") :]
    assert "<script>alert('q')</script>" in page.text
    assert "Shoes <b>d</b>" in page.text


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


def test_tables_and_pictures_can_be_heard(html: str) -> None:
    page = Page(html)
    assert page.tags.count("caption") == page.tags.count("table") == 2
    assert {value for name, value in page.attributes if name == "scope"} == {"row", "col"}
    labels = [value for name, value in page.attributes if name == "aria-label" and value != "to"]
    assert page.tags.count("svg") == len(labels) == 5 + 1 + 2
    assert "Training loss: from 2.000 to 1.250." in labels


def test_what_is_not_known_is_left_out(evidence: Evidence) -> None:
    text = Page(render_html(evidence, Verdict(True, ("Yes.",)), [], queries={}, passages={})).text
    assert "Promote Yes." in text
    assert "How training went" not in text
    assert "Figure 2" not in text


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
