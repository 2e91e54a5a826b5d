"""What is wrong with queries and labels, without looking at a passage: repeats, contradictions, too broad ones."""

import numpy as np
import pandas as pd

from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.tables import normalized_query
from domain_embed.judgments.near_duplicates import duplicate_groups
from domain_embed.judgments.quality.findings import Findings, quoted
from domain_embed.settings import QualitySettings

GRADES_APART = 2
"""Two grades of the same passage that differ by so much contradict each other."""
SHOWN_IDS = 5


def check_queries(judgments: pd.DataFrame, settings: QualitySettings, findings: Findings) -> None:
    """`duplicate_query`, `near_duplicate_query`, `broad_query` and `broad_passage`.

    Args:
        judgments: Columns query_id, query, text (the query, folded), passage_id, source.
        settings: Thresholds.
        findings: Where to.
    """
    queries = judgments[["query_id", "query", "text"]].drop_duplicates("query_id")
    if findings.wanted("duplicate_query"):
        repeated = queries[queries["text"].duplicated(keep=False)]
        for _, same in repeated.groupby("text", sort=False):
            ids = same["query_id"].tolist()
            detail = f"{quoted(same['query'].iloc[0])} under {len(ids)} ids: {_some(ids)}"
            findings.add("duplicate_query", "query", detail, query_id=ids[0])
    if findings.wanted("near_duplicate_query"):
        _check_near(queries.drop_duplicates("text"), settings.near_duplicates, findings)
    if findings.wanted("broad_query", "broad_passage"):
        _check_broad(judgments, settings, findings)


def _check_near(queries: pd.DataFrame, threshold: float, findings: Findings) -> None:
    ids, texts = queries["query_id"].tolist(), queries["query"].tolist()
    group = duplicate_groups(lambda: [texts], threshold)
    for row in np.flatnonzero(group != np.arange(len(texts))).tolist():
        first = int(group[row])
        detail = f"{quoted(texts[row])} is nearly {quoted(texts[first])} ({ids[first]})"
        findings.add("near_duplicate_query", "query", detail, query_id=ids[row])


def _check_broad(judgments: pd.DataFrame, settings: QualitySettings, findings: Findings) -> None:
    pairs = judgments.drop_duplicates(["text", "passage_id"])
    positives = pairs["text"].map(pairs["text"].value_counts())
    for _, rows in pairs[positives > settings.max_passages_per_query].groupby("text", sort=False):
        first = rows.iloc[0]
        detail = f"{quoted(first['query'])} has {len(rows)} positives"
        findings.add("broad_query", "query", detail, query_id=first["query_id"])
    answered = pairs["passage_id"].map(pairs["passage_id"].value_counts())
    for passage_id, rows in pairs[answered > settings.max_queries_per_passage].groupby("passage_id", sort=False):
        examples = ", ".join(quoted(query) for query in rows["query"].iloc[:3])
        findings.add(
            "broad_passage", "passage", f"answers {len(rows)} queries, like {examples}", passage_id=str(passage_id)
        )


def check_contradictions(labels: TableReader, findings: Findings) -> None:
    """`contradiction`: one query text and target judged relevant and not, or with grades GRADES_APART or more."""
    columns = ["query_id", "query", "target", "grade", "source"]
    frame = labels.read(columns).to_pandas().dropna(subset="target")
    frame["text"] = frame["query"].map(normalized_query)
    spread = frame.groupby(["text", "target"], sort=False)["grade"].agg(["min", "max"])
    contradicting = ((spread["min"] < 1) & (spread["max"] >= 1)) | (spread["max"] - spread["min"] >= GRADES_APART)
    culprits = frame.merge(spread[contradicting].reset_index()[["text", "target"]], on=["text", "target"])
    for (_, target), rows in culprits.groupby(["text", "target"], sort=False):
        told = sorted({f"{grade} by {source}" for grade, source in zip(rows["grade"], rows["source"], strict=True)})
        first = rows.iloc[0]
        findings.add(
            "contradiction", "judgment", f"{quoted(first['query'])}: grade {', '.join(told[:SHOWN_IDS])}",
            query_id=first["query_id"], passage_id=str(target),
        )  # fmt: skip


def _some(ids: list[str]) -> str:
    rest = len(ids) - SHOWN_IDS
    return ", ".join(ids[:SHOWN_IDS]) + (f" and {rest} more" if rest > 0 else "")
