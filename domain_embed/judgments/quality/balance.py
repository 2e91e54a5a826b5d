"""What judgments are about, against what the corpus is about: sources that decide alone, parts nobody judged."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pandas as pd

from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.progress import progress_bar
from domain_embed.judgments.quality.findings import Findings
from domain_embed.settings import QualitySettings

BATCH_ROWS = 4096
MAX_VALUES = 50
"""A metadata key with more distinct values is no classification but a name or a date."""
MIN_SHARE = 0.02
"""Smaller parts of the corpus are not spoken of."""
MIN_EXPECTED = 5
"""Judgments a part should have at least, by its share of the passages, before their absence means anything."""
FEW = 0.2
"""A part with less than this share of the judgments it should have is hardly judged."""


def check_sources(judgments: pd.DataFrame, settings: QualitySettings, findings: Findings) -> None:
    """`source_imbalance`: of several sources one has more than `max_source_share` of the judgments."""
    counts = judgments["source"].value_counts()
    if len(counts) > 1 and counts.iloc[0] > settings.max_source_share * len(judgments):
        share = f"{100 * counts.iloc[0] / len(judgments):.1f} %"
        others = f"{len(counts) - 1} other{'s' if len(counts) > 2 else ''}"
        findings.add("source_imbalance", "domain", f"{counts.index[0]} has {share} of the judgments, {others} the rest")


def check_classes(judgments: pd.DataFrame, passages: TableReader, findings: Findings) -> None:
    """`class_imbalance`: values of a metadata key with far fewer judgments than their share of the passages."""
    judged = judgments["passage_id"].value_counts().to_dict()
    of_passages: dict[str, Counter[str]] = defaultdict(Counter)
    of_judgments: dict[str, Counter[str]] = defaultdict(Counter)
    with progress_bar("compare judgments with the corpus", passages.count, "passages") as progress:
        for batch in passages.batches(BATCH_ROWS, ["passage_id", "metadata"]):
            columns = (batch.column(name).to_pylist() for name in ("passage_id", "metadata"))
            for passage_id, metadata in zip(*columns, strict=True):
                for key, value in _classes(json.loads(metadata)):
                    if len(of_passages[key]) <= MAX_VALUES:
                        of_passages[key][value] += 1
                        of_judgments[key][value] += judged.get(passage_id, 0)
            progress.update(batch.num_rows)
    for key, counts in of_passages.items():
        if 1 < len(counts) <= MAX_VALUES:
            _compare(key, counts, of_judgments[key], findings)


def _classes(metadata: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys with the values that may name a class; a list names several."""
    for key, value in metadata.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str | bool | int):
                yield key, str(one)


def _compare(key: str, passages: Counter[str], judgments: Counter[str], findings: Findings) -> None:
    all_passages, all_judgments = passages.total(), judgments.total()
    for value, count in passages.most_common():
        expected = all_judgments * count / all_passages
        judged = judgments[value]
        if count / all_passages >= MIN_SHARE and expected >= MIN_EXPECTED and judged < FEW * expected:
            shares = f"{100 * count / all_passages:.1f} % of the passages, {100 * judged / all_judgments:.1f} %"
            findings.add("class_imbalance", "domain", f"{key} = {value}: {shares} of the judgments ({judged})")
