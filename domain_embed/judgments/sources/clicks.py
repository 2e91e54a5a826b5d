"""Search logs: which results users found attractive, and which they passed over."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from domain_embed.judgments.click_model import Floats, fit_click_model
from domain_embed.judgments.sources.columns import read_known
from domain_embed.judgments.sources.report import SourceReport
from domain_embed.judgments.sources.rows import Label, label, query_id_of
from domain_embed.judgments.sources.search_log import CountedPairs, Flags, SearchLog
from domain_embed.settings import ClicksSource

COLUMNS = frozenset(("search_id", "query", "passage_id", "position", "clicked", "dwell_s", "time"))

TOO_FAR_DOWN = "result shown below max_positions"
TOO_SELDOM = "query and passage shown less often than min_impressions"
UNCLEAR = "query and passage neither attractive nor passed over"

# Further ones depend on the order of the rows.
CONFIDENCE_DIGITS = 6


def read_clicks(source: ClicksSource, folder: Path, report: SourceReport) -> Iterator[Label]:
    """Positives (grade 1) and candidates for hard negatives (grade 0) of a search log, by the click model.

    A positive is attractive at `min_attraction` or more, corrected for position; its confidence is the posterior
    probability of that, `created_at` the time of its last click. A candidate for a hard negative was passed over for a
    result below it and is attractive at `max_negative_attraction` or less, with the probability of that as confidence.
    Both were shown `min_impressions` times. A click without a dwell time counts as one.

    The rows of a search may be anywhere in the file.

    Raises:
        InputError: For a row that does not have the documented shape, and for two results of a search at one position.
    """
    path = folder / source.path
    log = SearchLog(source.min_dwell_s)
    for row in read_known(path, COLUMNS, source.unused_fields, report):
        if not log.add(row, source.max_positions):
            report.leave_out(TOO_FAR_DOWN, f"line {row.line}")
    if not len(log):
        return
    pairs = log.count(path)
    model = fit_click_model(pairs.counts)
    report.examination = model.examination

    often = pairs.shown >= source.min_impressions
    positive = often & (model.clicks > 0) & (model.attraction >= source.min_attraction)
    negative = often & ~positive & pairs.passed_over & (model.attraction <= source.max_negative_attraction)
    _leave_out(report, TOO_SELDOM, ~often, pairs, log)
    _leave_out(report, UNCLEAR, often & ~positive & ~negative, pairs, log)
    attractive = 1 - model.probability_at_most(source.min_attraction)
    ignored = model.probability_at_most(source.max_negative_attraction)
    name = f"clicks:{path.name}"
    yield from _labels(positive, 1, attractive, pairs, log, name)
    yield from _labels(negative, 0, ignored, pairs, log, name)


def _labels(
    chosen: Flags, grade: int, confidence: Floats, pairs: CountedPairs, log: SearchLog, source: str
) -> Iterator[Label]:
    for pair in np.flatnonzero(chosen):
        query, passage = int(pairs.query[pair]), int(pairs.passage[pair])
        yield label(
            log.queries[query],
            target=log.passage_ids[passage],
            grade=grade,
            source=source,
            confidence=round(float(confidence[pair]), CONFIDENCE_DIGITS),
            created_at=log.last_click.get((query, passage)) if grade else None,
        )


def _leave_out(report: SourceReport, reason: str, unused: Flags, pairs: CountedPairs, log: SearchLog) -> None:
    if unused.any():
        first = int(np.argmax(unused))
        query, passage_id = log.queries[int(pairs.query[first])], log.passage_ids[int(pairs.passage[first])]
        told = f"{query_id_of(query)} | {passage_id}"
        report.leave_out(reason, f"{query} | {passage_id}", recorded=told, count=int(unused.sum()))
