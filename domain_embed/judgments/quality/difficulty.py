"""How hard the test set is: what of it plain words answer."""

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from domain_embed.contracts.ports import TableReader
from domain_embed.judgments.quality.findings import Findings
from domain_embed.judgments.quality.rankers import Rankers
from domain_embed.judgments.quality.texts import passage_texts
from domain_embed.settings import QualitySettings


@dataclass(frozen=True)
class Difficulty:
    """Shares of test queries by what answers them.

    Attributes:
        queries: How many were looked at.
        unique_keyword: Share with a term that no passage but a positive holds: a look into an index answers them.
        bm25_first: Share where BM25 ranks a positive first.
        neither: Share with neither.
    """

    queries: int
    unique_keyword: float
    bm25_first: float
    neither: float


def measure_difficulty(
    splits: pd.DataFrame, passages: TableReader, rankers: Rankers, settings: QualitySettings
) -> Difficulty | None:
    """The difficulty of at most `sample` test queries, drawn at random; None when there is no test query.

    Terms are those of BM25: words without stop words, stemmed.

    Args:
        splits: Columns query, text (the query, folded), passage_id and split.
        passages: A PASSAGES table.
        rankers: BM25 and its terms.
        settings: Sample and seed.
    """
    test = splits[splits["split"] == "test"]
    asked = test.groupby("text").agg(query=("query", "first"), positives=("passage_id", frozenset))
    asked = asked.sample(min(len(asked), settings.sample), random_state=settings.seed)
    if asked.empty:
        return None
    terms = [frozenset(rankers.analyzer.terms(query)) for query in asked["query"]]
    only_in = _unique_places(frozenset().union(*terms), passages, rankers)
    keyword = pd.Series([
        any(only_in.get(term) in positives for term in found)
        for found, positives in zip(terms, asked["positives"], strict=True)
    ])  # fmt: skip
    first = pd.Series([
        bool(hits) and hits[0] in positives
        for hits, positives in zip(rankers.sparse_hits(asked["query"].tolist(), 1), asked["positives"], strict=True)
    ])  # fmt: skip
    return Difficulty(len(asked), float(keyword.mean()), float(first.mean()), float((~(keyword | first)).mean()))


def check_difficulty(difficulty: Difficulty, settings: QualitySettings, findings: Findings) -> None:
    """`easy_test`: BM25 ranks a positive first for `easy_share` of the test queries or more."""
    if difficulty.bm25_first >= settings.easy_share:
        detail = (
            f"BM25 answers {100 * difficulty.bm25_first:.1f} % of {difficulty.queries:,} test queries at rank 1, "
            f"{100 * difficulty.unique_keyword:.1f} % hold a word that only their positive has"
        )
        findings.add("easy_test", "domain", detail)


def _unique_places(wanted: frozenset[int], passages: TableReader, rankers: Rankers) -> dict[int, str]:
    """The only passage of each wanted term that stands in no other."""
    counts: Counter[int] = Counter()
    place: dict[int, str] = {}
    for ids, texts in passage_texts(passages, "look for unique words"):
        for passage_id, text in zip(ids, texts, strict=True):
            for term in rankers.analyzer.terms(text).keys() & wanted:
                counts[term] += 1
                place[term] = passage_id
    return {term: passage_id for term, passage_id in place.items() if counts[term] == 1}
