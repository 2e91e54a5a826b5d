"""Judged queries as rankings are measured by: what was asked, and how relevant each judged passage is."""

import json

import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.filters import Where, read_filter


def graded_queries(splits: pa.Table) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Text, and grade by passage id, of every query of these SPLITS rows, by query id; all sorted."""
    columns = splits.select(["query_id", "query", "passage_id", "grade"])
    rows = columns.sort_by([("query_id", "ascending"), ("passage_id", "ascending")]).to_pylist()
    qrels: dict[str, dict[str, int]] = {}
    for row in rows:
        qrels.setdefault(row["query_id"], {})[row["passage_id"]] = row["grade"]
    return {row["query_id"]: row["query"] for row in rows}, qrels


def filters_of(rows: pa.Table) -> dict[str, Where]:
    """The filter of every query of these JUDGMENTS or SPLITS rows that has one, by query id."""
    told = rows.filter(pc.is_valid(rows["filters"])).select(["query_id", "filters"]).to_pylist()
    return {row["query_id"]: read_filter(json.loads(row["filters"])) for row in told}
