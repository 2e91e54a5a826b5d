"""Queries made up for passages that nobody has judged, kept only where they lead back to their passage."""

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from domain_embed.contracts.ports import Ranker, TableReader
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import embedded_text
from domain_embed.contracts.tables import LABELS, normalized_query
from domain_embed.judgments.answers import AnswerCache, cache_key, parse_queries
from domain_embed.judgments.draw import (
    MAX_PASSAGES_PER_NAME,
    DrawnPassage,
    count_names,
    draw_passages,
    name_of,
)
from domain_embed.judgments.endpoint import Address, Endpoint, RateLimit
from domain_embed.judgments.passage_rows import all_rows
from domain_embed.judgments.prompt import Prompt
from domain_embed.judgments.query_filters import QueryFilter
from domain_embed.judgments.sources import query_id_of
from domain_embed.settings import SyntheticSettings

HEADINGS_SOURCE = "headings"
MIN_WORDS_WRITTEN = 3
"""Of a language model's query; shorter ones fit too many passages. Headings may be single words."""
QUERIES_PER_ROUND_TRIP = 256
SAMPLES_PER_REASON = 5

LOWEST_CONFIDENCE, HIGHEST_CONFIDENCE = 0.5, 0.8
"""Of a query that finds its passage last among `round_trip_depth`, or was not tried, and of one that finds it first."""

NO_NAME, SHARED_NAME = "no heading and no title", "heading of many passages"
NOT_SENT = "not for the language model's groups"
NO_QUERY, REFUSED, NOT_FOUND = "no query in the answer", "refused by the endpoint", "does not find its passage"


@dataclass
class SyntheticReport:
    """What was made and what was left out, filled while the batches are consumed.

    `asked` counts the requests, `known` the answers of earlier runs; `samples` holds the first few of each reason as
    (reason, query, passage id), the query empty where a passage got none.
    """

    passages: int = 0
    asked: int = 0
    known: int = 0
    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str, str]] = field(default_factory=list)

    def leave_out(self, reason: str, passage_id: str, query: str = "") -> None:
        """Counts one query, or one passage without query."""
        self.left_out[reason] += 1
        if self.left_out[reason] <= SAMPLES_PER_REASON:
            self.samples.append((reason, query, passage_id))


class MadeQuery(NamedTuple):
    """A query, the passage it was made for, and its source."""

    query: str
    passage: DrawnPassage
    source: str


def make_synthetic(
    passages: TableReader,
    judged: Collection[str],
    settings: SyntheticSettings,
    folder: Path,
    cache_file: Path,
    ranker: Ranker | None,
    report: SyntheticReport,
    *,
    judged_queries: Iterable[str],
    may_be_sent: Callable[[Mapping[str, Any]], bool] = lambda metadata: True,
    variables: Mapping[str, str] = os.environ,
) -> Iterator[pa.RecordBatch]:
    """Yields LABELS batches: queries for passages not in `judged`, equal for equal passages and answers.

    Every row is `train_only`, of grade 1, with the passage as target and without date. Its source is "headings" or
    "synthetic:MODEL@VERSION", the version being the prompt's. Its confidence falls evenly from 0.8, where the query
    finds the passage first in dense or BM25 search, to 0.5 at `round_trip_depth`; deeper ones are left out. Without
    a ranker it is 0.5.

    Args:
        judged: Ids of the passages that have judgments already.
        folder: The domain's, in which `settings.prompt` is found.
        cache_file: Keeps the endpoint's answers, each as soon as it is there: what was answered is not asked again.
        judged_queries: Texts that need not be made again.
        may_be_sent: Whether a language model may read the passage with this metadata; others are left out and counted.
        variables: The environment, for OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL.

    Raises:
        SettingsError: When the endpoint or the prompt cannot be used; it names the variable or setting.
        StoreError: When the cache cannot be written.
    """
    if settings.source == "none":
        return
    if settings.source == "headings":
        candidates = _named_candidates(passages, frozenset(judged), report)
    else:
        candidates = _sendable_candidates(passages, frozenset(judged), may_be_sent, report)
    drawn = draw_passages(passages, candidates, settings.max_passages, settings.seed)
    report.passages = len(drawn)
    if settings.source == "headings":
        made: Iterator[MadeQuery] = (MadeQuery(passage.name, passage, HEADINGS_SOURCE) for passage in drawn)
    else:
        made = _ask_for_queries(drawn, settings, Prompt.read(settings.prompt, folder), cache_file, report, variables)
    useful = _useful(made, judged_queries, settings, report)
    while chunk := list(islice(useful, QUERIES_PER_ROUND_TRIP)):
        rows = list(_rows(chunk, ranker, settings.round_trip_depth, report))
        report.kept += len(rows)
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=LABELS)


def _named_candidates(passages: TableReader, judged: frozenset[str], report: SyntheticReport) -> Iterator[str]:
    """Ids of the passages that may be drawn and have a name of their own."""
    names = count_names(passages)
    for passage_id, title, heading in all_rows(passages, ["passage_id", "title", "heading"], "drawing passages"):
        name = name_of(title, heading)
        if passage_id in judged:
            continue
        if not name:
            report.leave_out(NO_NAME, passage_id)
        elif names[normalized_query(name)] > MAX_PASSAGES_PER_NAME:
            report.leave_out(SHARED_NAME, passage_id, name)
        else:
            yield passage_id


def _sendable_candidates(
    passages: TableReader, judged: frozenset[str], may_be_sent: Callable[[Mapping[str, Any]], bool],
    report: SyntheticReport,
) -> Iterator[str]:  # fmt: skip
    """Ids of the passages that may be drawn and sent."""
    for passage_id, metadata in all_rows(passages, ["passage_id", "metadata"], "drawing passages"):
        if passage_id in judged:
            continue
        if may_be_sent(json.loads(metadata)):
            yield passage_id
        else:
            report.leave_out(NOT_SENT, passage_id)


def _ask_for_queries(
    drawn: Sequence[DrawnPassage],
    settings: SyntheticSettings,
    prompt: Prompt,
    cache_file: Path,
    report: SyntheticReport,
    variables: Mapping[str, str],
) -> Iterator[MadeQuery]:
    """The queries a language model writes, passage by passage."""
    address = Address.read(settings.model, variables)
    endpoint = Endpoint(address, RateLimit(settings.requests_per_minute))
    source = f"synthetic:{address.model}@{prompt.version}"
    count, examples = settings.queries_per_passage, settings.examples
    with AnswerCache.open(cache_file) as cache, progress_bar("synthetic queries", len(drawn), "passages") as bar:
        for passage in drawn:
            key = cache_key(passage.content_hash, address.model, prompt.version, count, examples)
            answer = cache.get(key)
            if answer is not None:
                report.known += 1
            else:
                report.asked += 1
                answer = endpoint.ask(prompt.fill(passage.title, passage.text, count, examples))
                if answer is not None:
                    cache.put(key, answer)
            queries = parse_queries(answer or "", count)
            if not queries:
                report.leave_out(REFUSED if answer is None else NO_QUERY, passage.passage_id)
            yield from (MadeQuery(query, passage, source) for query in queries)
            bar.update(1)


def _useful(
    made: Iterable[MadeQuery], judged_queries: Iterable[str], settings: SyntheticSettings, report: SyntheticReport
) -> Iterator[MadeQuery]:
    """Those without an objection. A heading stands in the passage's title: there, only the text counts as copied."""
    headings = settings.source == "headings"
    query_filter = QueryFilter(judged_queries, 1 if headings else MIN_WORDS_WRITTEN, settings.max_copied)
    for one in made:
        passage = one.passage
        text = passage.text if headings else embedded_text(passage.title, passage.text)
        objection = query_filter.objection(one.query, text)
        if objection:
            report.leave_out(objection, passage.passage_id, one.query)
        else:
            yield one


def _rows(
    made: Sequence[MadeQuery], ranker: Ranker | None, depth: int, report: SyntheticReport
) -> Iterator[dict[str, Any]]:
    """Rows of LABELS for the queries that find their passage."""
    for one, confidence in zip(made, _confidences(made, ranker, depth), strict=True):
        if confidence is None:
            report.leave_out(NOT_FOUND, one.passage.passage_id, one.query)
            continue
        yield {
            "query_id": query_id_of(one.query),
            "query": one.query,
            "target": one.passage.passage_id,
            "answer": None,
            "grade": 1,
            "source": one.source,
            "confidence": confidence,
            "created_at": None,
            "split": None,
            "train_only": True,
        }


def _confidences(made: Sequence[MadeQuery], ranker: Ranker | None, depth: int) -> list[float | None]:
    """By rank; None where a query does not find its passage."""
    if ranker is None:
        return [LOWEST_CONFIDENCE] * len(made)
    step = (HIGHEST_CONFIDENCE - LOWEST_CONFIDENCE) / max(depth - 1, 1)
    ranks = _best_ranks(made, ranker, depth)
    return [None if rank is None else round(HIGHEST_CONFIDENCE - step * (rank - 1), 6) for rank in ranks]


def _best_ranks(made: Sequence[MadeQuery], ranker: Ranker, depth: int) -> list[int | None]:
    """The better of the dense and the BM25 rank of each query's passage, from 1; None where neither has it."""
    rankings = ranker.rank([one.query for one in made], depth, ["dense", "sparse"], exact=True)
    best: list[int | None] = []
    for index, one in enumerate(made):
        ids = [[hit.passage_id for hit in hits[index][:depth]] for hits in rankings.values()]
        ranks = [found.index(one.passage.passage_id) + 1 for found in ids if one.passage.passage_id in found]
        best.append(min(ranks, default=None))
    return best
