"""Made-up queries: drawn steadily, asked for once, and kept only where they are of use."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.access import WithoutGroups
from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.records import Hit, Mode
from domain_embed.contracts.tables import LABELS, PASSAGES, content_hash
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.words import words
from domain_embed.indexing.build import build_collection
from domain_embed.judgments.draw import draw_passages
from domain_embed.judgments.prompt import Prompt
from domain_embed.judgments.query_filters import QueryFilter, is_copied
from domain_embed.judgments.sources import query_id_of
from domain_embed.judgments.synthetic import NOT_SENT, SyntheticReport, make_synthetic
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import AccessSettings, RetrievalSettings, SparseSettings, SyntheticSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.encoding.fakes import MemoryCache, MemoryTable
from domain_embed_tests.judgments.chat_server import MODEL, Reply, chat_server, fails, says

HEADINGS = SyntheticSettings(source="headings")
ENDPOINT = SyntheticSettings(source="endpoint", requests_per_minute=1_000_000)
OPEN = AccessSettings()
VERSION = Prompt.read(None, Path()).version


class Passage(NamedTuple):
    passage_id: str
    title: str
    text: str
    heading: str = ""
    metadata: str = "{}"


TEA = Passage("tea", "Hot drinks > Green tea", "Boil water, wait a minute, pour it over the leaves.", "Green tea")
COFFEE = Passage("coffee", "Hot drinks > Coffee", "Grind the beans just before you brew them.", "Coffee")
EGG = Passage("egg", "Soft eggs", "Put them into boiling water for six minutes.")
KITCHEN = [TEA, COFFEE, EGG]
WRITTEN = {
    "tea": ["what temperature for sencha", "my infusion tastes bitter"],
    "coffee": ["when should I mill my arabica", "espresso lost its aroma"],
    "egg": ["how long until the yolk sets", "breakfast with runny yolk"],
}


def table(*passages: Passage) -> MemoryTable:
    rows = [
        {
            "passage_id": one.passage_id, "doc_id": one.passage_id, "title": one.title, "text": one.text,
            "metadata": one.metadata, "content_hash": content_hash(one.title, one.text), "heading": one.heading,
            "start": 0, "end": len(one.text),
        }
        for one in passages
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(rows, schema=PASSAGES))


class FixedRanker:
    """Ranks as it was told: passage ids by query, in each mode."""

    def __init__(self, dense: Mapping[str, Sequence[str]], sparse: Mapping[str, Sequence[str]] | None = None) -> None:
        self._ids: dict[Mode, Mapping[str, Sequence[str]]] = {"dense": dense, "sparse": sparse or {}}

    def rank(
        self, queries: Sequence[str], k: int, modes: Sequence[Mode], *, exact: bool
    ) -> dict[Mode, list[list[Hit]]]:
        assert exact
        return {mode: [[Hit(one, 1.0) for one in self._ids[mode].get(q, ())[:k]] for q in queries] for mode in modes}


class Made(NamedTuple):
    rows: list[dict[str, Any]]
    report: SyntheticReport

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return sorted((row["target"], row["query"]) for row in self.rows)


class Maker:
    """Makes queries in a folder, with a cache that stays from one call to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache" / "answers.jsonl"

    def __call__(
        self,
        passages: Sequence[Passage],
        settings: SyntheticSettings,
        *,
        judged: Sequence[str] = (),
        judged_queries: Sequence[str] = (),
        ranker: FixedRanker | Searcher | None = None,
        variables: Mapping[str, str] | None = None,
        access: AccessSettings = OPEN,
    ) -> Made:
        report = SyntheticReport()
        batches = make_synthetic(
            table(*passages), judged, settings, self.folder, self.cache, ranker, report,
            judged_queries=judged_queries, variables=variables or {}, may_be_sent=access.may_be_sent,
        )  # fmt: skip
        return Made([row for batch in _checked(batches) for row in batch.to_pylist()], report)


def _checked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        assert batch.schema == LABELS
        yield batch


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return Maker(tmp_path)


def passage_in(prompt: str) -> str:
    """The id of the passage a prompt is about."""
    return next(one.passage_id for one in KITCHEN if one.text in prompt)


def writes(_: int, prompt: str) -> Reply:
    """A model that writes what stands in WRITTEN."""
    return says("\n".join(f"- {query}" for query in WRITTEN[passage_in(prompt)]))


def answers(**by_passage: str) -> Callable[[int, str], Reply]:
    """A model that answers as told, and otherwise as WRITTEN."""
    return lambda number, prompt: (
        says(by_passage[passage_in(prompt)]) if passage_in(prompt) in by_passage else writes(number, prompt)
    )


# --- headings -------------------------------------------------------------------------------------------


def test_nothing_is_made_up_unless_it_is_asked_for(make: Maker) -> None:
    assert make(KITCHEN, SyntheticSettings()) == Made([], SyntheticReport())


def test_a_section_is_asked_for_by_its_last_heading_and_a_document_by_its_title(make: Maker) -> None:
    nested = Passage("oolong", "Hot drinks > Tea > Oolong", "Pour twice.", "Tea > Oolong")
    made = make([*KITCHEN, nested], HEADINGS)
    assert made.pairs == [("coffee", "Coffee"), ("egg", "Soft eggs"), ("oolong", "Oolong"), ("tea", "Green tea")]
    assert (made.report.passages, made.report.kept, made.report.left_out) == (4, 4, Counter())


def test_a_row_says_that_it_is_made_up(make: Maker) -> None:
    [row] = make([TEA], HEADINGS).rows
    assert row == {
        "query_id": query_id_of("Green tea"), "query": "Green tea", "target": "tea", "answer": None, "grade": 1,
        "source": "headings", "confidence": 0.5, "created_at": None, "split": None, "train_only": True, "filters": None,
    }  # fmt: skip


def test_a_heading_of_many_passages_asks_for_none_of_them(make: Maker) -> None:
    sections = [
        Passage(f"s{n}", f"Manual {n} > Overview", f"Text {n}.", "OVERVIEW " if n % 2 else "overview") for n in range(4)
    ]
    parts = [Passage(f"p{n}", "One long guide", f"Part {n}.") for n in range(4)]
    made = make([*sections, *parts, TEA, Passage("bare", "", "Only text.")], HEADINGS)
    assert made.pairs == [("tea", "Green tea")]
    assert made.report.left_out == {"heading of many passages": 8, "no heading and no title": 1}
    assert ("heading of many passages", "One long guide", "p0") in made.report.samples
    assert ("no heading and no title", "", "bare") in made.report.samples


def test_a_heading_of_few_passages_asks_for_one_of_them(make: Maker) -> None:
    made = make([TEA, TEA._replace(passage_id="tea 2", text="More.")], HEADINGS)
    assert [query for _, query in made.pairs] == ["Green tea"]
    assert made.report.left_out == {"duplicate": 1}


def test_a_heading_that_stands_in_the_text_is_copied_but_not_one_in_the_title(make: Maker) -> None:
    made = make([TEA, EGG._replace(text="Soft  EGGS, boiled for six minutes.")], HEADINGS)
    assert made.pairs == [("tea", "Green tea")]
    assert made.report.samples == [("copied from the passage", "Soft eggs", "egg")]


def test_judged_passages_and_judged_queries_are_not_made_again(make: Maker) -> None:
    made = make(KITCHEN, HEADINGS, judged=["tea", "unknown"], judged_queries=["soft  EGGS"])
    assert made.pairs == [("coffee", "Coffee")]
    assert made.report.left_out == {"duplicate": 1}


# --- the draw -------------------------------------------------------------------------------------------

IDS = st.sets(st.integers(0, 200).map(str), min_size=1, max_size=30)


def drawn_of(ids: set[str], count: int, seed: int = 0) -> list[str]:
    passages = table(*(Passage(one, "Title", "Text") for one in sorted(ids)))
    return [passage.passage_id for passage in draw_passages(passages, sorted(ids), count, seed)]


@given(ids=IDS, more=IDS, count=st.integers(1, 10))
def test_the_draw_is_stable_when_others_come_or_go(ids: set[str], more: set[str], count: int) -> None:
    before, after = drawn_of(ids, count), drawn_of(ids | more, count)
    assert len(before) == min(count, len(ids))
    # Those that stay keep their order, and only newcomers take places.
    assert [one for one in after if one in ids] == [one for one in before if one in after]
    assert all(one in after for one in before[: max(0, count - len(more - ids))])


def test_another_seed_is_another_draw() -> None:
    ids = {str(n) for n in range(100)}
    assert drawn_of(ids, 10, seed=1) == drawn_of(ids, 10, seed=1)
    assert drawn_of(ids, 10, seed=1) != drawn_of(ids, 10, seed=2)


def test_no_more_passages_are_drawn_than_allowed_and_their_order_in_the_corpus_decides_nothing(make: Maker) -> None:
    many = [Passage(str(n), f"Title {n}", f"Text {n}") for n in range(50)]
    settings = HEADINGS.model_copy(update={"max_passages": 20})
    made = make(many, settings)
    random.Random(0).shuffle(many)
    assert made.report.passages == len(made.rows) == 20
    assert make(many, settings).rows == made.rows


# --- the endpoint ---------------------------------------------------------------------------------------


def test_a_language_model_writes_queries_for_each_passage(make: Maker) -> None:
    with chat_server(writes) as server:
        made = make(KITCHEN, ENDPOINT, variables=server.variables)
    assert made.pairs == [(name, query) for name in ("coffee", "egg", "tea") for query in sorted(WRITTEN[name])]
    assert {row["source"] for row in made.rows} == {f"synthetic:{MODEL}@{VERSION}"}
    assert all(row["train_only"] and row["grade"] == 1 and row["created_at"] is None for row in made.rows)
    assert (made.report.passages, made.report.asked, made.report.known, made.report.kept) == (3, 3, 0, 6)


def test_the_prompt_shows_passage_number_and_examples(make: Maker) -> None:
    settings = ENDPOINT.model_copy(update={"examples": ("tea too weak?", "egg bursts"), "queries_per_passage": 3})
    with chat_server(writes) as server:
        make([TEA], settings, variables=server.variables)
    [prompt] = server.prompts
    assert TEA.text in prompt
    assert "Title of the passage: Hot drinks > Green tea" in prompt
    assert "- tea too weak?\n- egg bursts" in prompt
    assert "JSON list of 3 strings" in prompt
    assert "{" not in prompt


def test_answers_are_not_asked_for_twice(make: Maker) -> None:
    with chat_server(writes) as server:
        first = make(KITCHEN, ENDPOINT, variables=server.variables)
        assert len(server.requests) == 3
        again = make([EGG, *KITCHEN[:2]], ENDPOINT, variables=server.variables)
        assert len(server.requests) == 3
    assert again.rows == first.rows
    assert (again.report.asked, again.report.known) == (0, 3)


@pytest.mark.parametrize(
    "changes", [{"queries_per_passage": 3}, {"examples": ("one",)}, {"model": "other"}, {"prompt": "mine.txt"}]
)
def test_other_questions_are_asked_anew(make: Maker, changes: dict[str, Any]) -> None:
    (make.folder / "mine.txt").write_text("Queries for {text}")
    with chat_server(writes) as server:
        make(KITCHEN, ENDPOINT, variables=server.variables)
        make(KITCHEN, ENDPOINT.model_copy(update=changes), variables=server.variables)
        make([TEA._replace(text=TEA.text + " Enjoy."), COFFEE], ENDPOINT, variables=server.variables)
    assert len(server.requests) == 7


def test_after_a_crash_only_what_is_missing_is_asked(make: Maker) -> None:
    with chat_server(lambda number, prompt: fails(401) if number == 3 else writes(number, prompt)) as server:
        with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
            make(KITCHEN, ENDPOINT, variables=server.variables)
        made = make(KITCHEN, ENDPOINT, variables=server.variables)
        assert len(made.rows) == 6
        asked = Counter(map(passage_in, server.prompts))
        refused = passage_in(server.prompts[2])
    assert asked == {name: 2 if name == refused else 1 for name in WRITTEN}


def test_a_torn_last_line_costs_one_answer(make: Maker) -> None:
    with chat_server(writes) as server:
        made = make(KITCHEN, ENDPOINT, variables=server.variables)
        make.cache.write_bytes(make.cache.read_bytes()[:-10])
        assert make(KITCHEN, ENDPOINT, variables=server.variables).rows == made.rows
        assert len(server.requests) == 4
        assert server.prompts[3] == server.prompts[2]
        make(KITCHEN, ENDPOINT, variables=server.variables)
        assert len(server.requests) == 4


def test_garbage_and_refusals_are_counted_and_asked_for_once(make: Maker) -> None:
    with chat_server(answers(tea="I'm sorry, but I can't help with that.", egg="[]")) as server:
        for _ in range(2):
            made = make(KITCHEN, ENDPOINT, variables=server.variables)
            assert [target for target, _ in made.pairs] == ["coffee", "coffee"]
            assert made.report.left_out == {"no query in the answer": 2}
            assert sorted(made.report.samples) == [("no query in the answer", "", name) for name in ("egg", "tea")]
        assert len(server.requests) == 3


def test_a_refused_request_is_counted_and_tried_again_next_time(make: Maker) -> None:
    with chat_server(lambda number, prompt: fails(400) if number == 1 else writes(number, prompt)) as server:
        made = make(KITCHEN, ENDPOINT, variables=server.variables)
        assert (len(made.rows), made.report.left_out) == (4, {"refused by the endpoint": 1})
        assert len(make(KITCHEN, ENDPOINT, variables=server.variables).rows) == 6
        assert len(server.requests) == 4


def test_without_a_model_nothing_is_asked(make: Maker) -> None:
    with pytest.raises(SettingsError, match=r"set synthetic.model or OPENAI_MODEL"):
        make(KITCHEN, ENDPOINT)
    assert not make.cache.exists()


# --- the prompt -----------------------------------------------------------------------------------------


def test_a_prompt_of_ones_own_may_have_braces_and_passages_may_too(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text('\ufeff{"ask": {count}} {title} | {text} | {examples} {else}', encoding="utf-8")
    prompt = Prompt.read("p.txt", tmp_path)
    filled = prompt.fill("A {text}", "B {count} {title}", 2, [])
    assert filled == '{"ask": 2} A {text} | B {count} {title} | (none) {else}'
    assert prompt.version != VERSION
    assert prompt.version == Prompt(prompt.template).version


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"no field", "has no {text}"), (b"\xff{text}", "cannot be read"), (None, "cannot be read: .*No such file")],
)
def test_a_prompt_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(SettingsError, match=rf"synthetic.prompt: .*p.txt {problem}"):
        Prompt.read("p.txt", tmp_path)


def test_the_packaged_prompt_is_pinned() -> None:
    """Another text is another version, asks everything anew and needs a file of another name."""
    assert VERSION == "7e3f47cc"


# --- filters --------------------------------------------------------------------------------------------


def test_useless_queries_are_counted_by_their_reason(make: Maker) -> None:
    told = answers(
        tea='["green tea", "Boil water, wait a minute please", "my  infusion TASTES bitter", "what to do"]',
        coffee='["my infusion tastes bitter", "what  TO do", "asked before by somebody", "???"]',
    )
    settings = ENDPOINT.model_copy(update={"queries_per_passage": 4})
    with chat_server(told) as server:
        made = make(KITCHEN, settings, judged_queries=["Asked before by somebody"], variables=server.variables)
    assert made.report.left_out == {"too short": 1, "copied from the passage": 1, "duplicate": 3}
    assert made.report.kept == len(made.rows) == 4
    assert {query.casefold() for _, query in made.pairs} >= {query.casefold() for query in WRITTEN["egg"]}


def test_of_each_reason_a_few_samples_are_kept(make: Maker) -> None:
    many = [Passage(str(n), f"Title {n}", f"Title {n}") for n in range(20)]
    report = make([*many, TEA, TEA._replace(passage_id="tea 2")], HEADINGS).report
    assert report.left_out["copied from the passage"] == 20
    assert Counter(reason for reason, _, _ in report.samples) == {"copied from the passage": 5, "duplicate": 1}


@pytest.mark.parametrize(
    ("query", "share", "copied"),
    [
        ("boil water wait a minute", 0.8, True),
        ("boil water wait a while", 0.8, False),  # 4 of 5 is exactly 0.8
        ("boil water wait a while", 0.79, True),
        ("wait boil water a minute", 0.5, False),  # all words, but not in one piece
        ("oil water wait a minut", 0.8, False),  # whole words only
        ("please boil water wait a minute", 0.8, True),  # 5 of 6
        ("boil water wait a minute", 1.0, False),
        ("pour", 0.8, True),
    ],
)
def test_copied_is_measured_by_the_longest_common_piece(query: str, share: float, copied: bool) -> None:
    assert is_copied(words(query), words(TEA.text), share) is copied


def test_scripts_without_spaces_are_measured_by_character() -> None:
    assert words("Über-Größe 2") == ["über", "grösse", "2"]
    assert words("绿茶多少度") == list("绿茶多少度")
    assert QueryFilter([], 3, 0.8).objection("绿茶多少度", "水温八十度。") is None
    assert QueryFilter([], 3, 0.8).objection("水温八十度", "水温八十度。") == "copied from the passage"


# --- the round trip -------------------------------------------------------------------------------------


def test_a_query_is_kept_when_it_finds_its_passage_and_trusted_by_its_rank(make: Maker) -> None:
    others = [f"other {n}" for n in range(30)]
    ranker = FixedRanker(
        dense={"Green tea": ["tea"], "Coffee": [*others[:3], "coffee"], "Soft eggs": [*others[:20], "egg"]},
        sparse={"Green tea": others, "Coffee": [*others[:9], "coffee"], "Hard eggs": [*others[:19], "hard"]},
    )
    hard = Passage("hard", "Hard eggs", "Ten minutes.")
    made = make([*KITCHEN, hard], HEADINGS, ranker=ranker)
    confidence = {row["target"]: row["confidence"] for row in made.rows}
    assert confidence == {"tea": 0.8, "coffee": pytest.approx(0.8 - 0.3 * 3 / 19), "hard": 0.5}
    assert made.report.samples == [("does not find its passage", "Soft eggs", "egg")]


def test_a_round_trip_of_depth_one_keeps_what_is_found_first(make: Maker) -> None:
    ranker = FixedRanker({"Green tea": ["tea", "coffee"], "Coffee": ["tea", "coffee"]})
    made = make([TEA, COFFEE], HEADINGS.model_copy(update={"round_trip_depth": 1}), ranker=ranker)
    assert [(row["target"], row["confidence"]) for row in made.rows] == [("tea", 0.8)]


def test_many_queries_come_in_bounded_batches(make: Maker) -> None:
    many = [Passage(str(n), f"Title {n}", f"Text {n}") for n in range(600)]
    batches = make_synthetic(
        table(*many), [], HEADINGS, make.folder, make.cache, None, SyntheticReport(), judged_queries=[]
    )
    assert [batch.num_rows for batch in batches] == [256, 256, 88]


def test_the_search_that_serves_is_the_ranker(make: Maker, minilm: TorchEncoder) -> None:
    store = QdrantStore.in_memory()
    info = build_collection(store, minilm, "base", table(*KITCHEN), SparseSettings(), MemoryCache()).info
    searcher = Searcher(store.open(info.name), minilm, RetrievalSettings())
    stray = "steam engine of 1804"
    with chat_server(answers(tea=f'["{stray}", "what temperature for sencha"]')) as server:
        settings = ENDPOINT.model_copy(update={"round_trip_depth": 1})
        made = make([TEA], settings, ranker=searcher, variables=server.variables)
    assert made.pairs == [("tea", "what temperature for sencha")]
    assert made.report.samples == [("does not find its passage", stray, "tea")]


# --- what a language model may read -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("without_groups", "groups", "sent"),
    [
        ("nobody", (), set()),
        ("everybody", (), {"egg"}),
        ("nobody", ("guests",), {"coffee"}),
        ("everybody", ("guests", "5"), {"coffee", "egg"}),
    ],
)
def test_a_passage_is_sent_only_where_the_models_groups_may_see_it(
    make: Maker, without_groups: WithoutGroups, groups: tuple[str, ...], sent: set[str]
) -> None:
    kitchen = [
        TEA._replace(metadata='{"groups": 5}'), COFFEE._replace(metadata='{"groups": ["cooks", "guests"]}'), EGG,
    ]  # fmt: skip
    access = AccessSettings(groups_field="groups", without_groups=without_groups, language_model_groups=groups)
    with chat_server(writes) as served:
        made = make(kitchen, ENDPOINT, variables=served.variables, access=access)
        assert {passage_in(prompt) for prompt in served.prompts} == sent
        assert made.report.left_out[NOT_SENT] == 3 - len(sent)
        assert {target for target, _ in made.pairs} == sent
        make(kitchen, ENDPOINT, variables=served.variables)
        assert {passage_in(prompt) for prompt in served.prompts} == {"tea", "coffee", "egg"}
