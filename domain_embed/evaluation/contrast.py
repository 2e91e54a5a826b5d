"""Any two systems side by side: every measure, and the queries they differ on most."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.records import Comparison
from domain_embed.evaluation.measures import HEADLINE, MEASURES
from domain_embed.evaluation.significance import TIE, compare, detectable_difference

QUERIES_SHOWN = 5


@dataclass(frozen=True)
class Contrast:
    """What the first system changes against the second.

    `means` holds both means by measure, `comparisons` one per measure, uncorrected. `gained` and `lost` are the queries
    with the largest differences of nDCG@10, as (query id, difference).
    """

    first: str
    second: str
    queries: int
    detectable: float | None
    means: dict[str, tuple[float, float]]
    comparisons: tuple[Comparison, ...]
    gained: tuple[tuple[str, float], ...]
    lost: tuple[tuple[str, float], ...]


def read_scores(path: Path, system: str) -> pd.DataFrame:
    """One system's scores by query id, of those that an evaluation kept.

    Raises InputError that names the known systems for one that was not run.
    """
    table: pd.DataFrame = pq.read_table(path, filters=[("system", "=", system)]).to_pandas()
    if table.empty:
        known = pq.read_table(path, columns=["system"])["system"].unique().to_pylist()
        raise InputError(f"no system {system!r} was evaluated", f"systems: {', '.join(known)}")
    return table.set_index("query_id").drop(columns="system")


def contrast(
    first: str, second: str, first_scores: pd.DataFrame, second_scores: pd.DataFrame, *, resamples: int, seed: int
) -> Contrast:
    """Compares two score tables of the same queries in every measure that both have.

    Raises InputError when the two are the same, or were measured on different queries.
    """
    measures = [measure for measure in MEASURES if measure in first_scores and measure in second_scores]
    try:
        comparisons = tuple(
            compare(
                first, second, measure, first_scores[measure], second_scores[measure], resamples=resamples, seed=seed
            )
            for measure in measures
        )
    except ValueError as error:
        raise InputError(f"{first} and {second} cannot be compared: {error}") from None
    differences = (first_scores[HEADLINE] - second_scores[HEADLINE]).sort_values(kind="stable")
    return Contrast(
        first=first,
        second=second,
        queries=len(differences),
        detectable=detectable_difference(differences.to_numpy(np.float64)),
        means={
            measure: (float(first_scores[measure].mean()), float(second_scores[measure].mean())) for measure in measures
        },
        comparisons=comparisons,
        gained=_named(differences[differences > TIE][::-1][:QUERIES_SHOWN]),
        lost=_named(differences[differences < -TIE][:QUERIES_SHOWN]),
    )


def _named(differences: "pd.Series[float]") -> tuple[tuple[str, float], ...]:
    return tuple((str(query_id), float(delta)) for query_id, delta in differences.items())
