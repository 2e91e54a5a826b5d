"""The quality report: every check, one after the other, over stored tables and the base collection."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from domain_embed.contracts.ports import Collection, Encoder, TableReader
from domain_embed.contracts.tables import normalized_query
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.judgments.leakage import Leakage, measure_leakage
from domain_embed.judgments.quality.balance import check_classes, check_sources
from domain_embed.judgments.quality.checks import CHECKS, severities
from domain_embed.judgments.quality.difficulty import Difficulty, check_difficulty, measure_difficulty
from domain_embed.judgments.quality.findings import Findings
from domain_embed.judgments.quality.inflation import Inflation, measure_inflation
from domain_embed.judgments.quality.languages import check_languages
from domain_embed.judgments.quality.pairs import check_copied, check_cut
from domain_embed.judgments.quality.passages import check_passages
from domain_embed.judgments.quality.personal import check_personal_data
from domain_embed.judgments.quality.queries import check_contradictions, check_queries
from domain_embed.judgments.quality.rankers import Rankers
from domain_embed.judgments.quality.suspects import check_suspects
from domain_embed.judgments.quality.unread import Unread, check_unread
from domain_embed.settings import QualitySettings, Severity, SplitSettings


@dataclass(frozen=True)
class Material:
    """The tables that are examined; `splits` is what was made of `judgments`."""

    passages: TableReader
    labels: TableReader
    judgments: TableReader
    splits: TableReader


@dataclass(frozen=True)
class QualityReport:
    """What was found.

    Attributes:
        findings: A FINDINGS table; of a check that finds very much, the first KEPT_PER_CHECK.
        counts: How many things each check found; checks that found nothing are there with 0, those not run are not.
        severities: How bad a finding of each check is here; "off" for those not run.
        leakage: What the splits share.
        difficulty: Of the test split; None when not measured.
        inflation: Of a naive split; None when not measured.
        totals: How many passages, labels, judgments and queries there are, and queries by split.
        unread: How much of the texts the model's vocabulary lacks; None when not measured.
    """

    findings: pa.Table
    counts: Mapping[str, int]
    severities: Mapping[str, Severity]
    leakage: Leakage
    difficulty: Difficulty | None
    inflation: Inflation | None
    totals: Mapping[str, int]
    unread: Unread | None = None

    def found(self, severity: Severity) -> list[str]:
        """The checks of that severity that found something, in the order of CHECKS."""
        return [name for name in CHECKS if self.severities[name] == severity and self.counts.get(name, 0) > 0]

    @property
    def blocking(self) -> bool:
        """Whether anything was found that must stop a run before training."""
        return bool(self.found("error"))


def examine(
    material: Material, collection: Collection, encoder: Encoder, counter: TokenCounter, max_tokens: int,
    settings: QualitySettings, splits: SplitSettings,
) -> QualityReport:  # fmt: skip
    """Runs all checks that are not off.

    Equal arguments give equal reports. Costly checks look at samples of `settings.sample` rows; judgments are drawn by
    passage, so that what queries share stays together.

    Args:
        material: The tables.
        collection: The base model's collection of these passages.
        encoder: The base model.
        counter: Of tokens, by the base model's tokenizer.
        max_tokens: The longest text the model reads.
        settings: Thresholds and severities.
        splits: How the splits were made: leaking ones that were given are a warning, not an error.

    Raises:
        SettingsError: For an unknown check or language, or personal data without the extra `pii`.
        ModelMismatchError: When encoder and collection are of two models.
    """
    rankers = Rankers(collection, encoder)
    findings = Findings(_effective_severities(settings, splits))
    judgments = judgment_frame(material.judgments)
    check_texts(material, judgments, counter, max_tokens, settings, findings)
    unread = None
    if findings.wanted("unread_text"):
        unread = check_unread(judgments, material.passages, counter, settings, findings)
    parted = _with_text(material.splits.read(["query_id", "query", "passage_id", "grade", "split"]))
    leakage = measure_leakage(material.splits.read(), splits.near_duplicates)
    _check_leakage(leakage, findings)
    if findings.wanted("suspect_label"):
        sampled = sample_by_passage(judgments, settings.sample, settings.seed)
        check_suspects(sampled, rankers, settings, findings, counter)
    difficulty = measure_difficulty(parted, material.passages, rankers, settings)
    if difficulty is not None:
        check_difficulty(difficulty, settings, findings)
    inflation = measure_inflation(sample_by_passage(parted, settings.sample, settings.seed), rankers, settings.seed)
    return QualityReport(
        findings=findings.table(),
        counts={name: findings.counts[name] for name in CHECKS if findings.wanted(name)},
        severities=findings.severities,
        leakage=leakage,
        difficulty=difficulty,
        inflation=inflation,
        totals={
            "passages": material.passages.count,
            "labels": material.labels.count,
            "judgments": material.judgments.count,
            "queries": int(judgments["text"].nunique()),
            **{f"{name} queries": int(n) for name, n in parted.groupby("split")["text"].nunique().items()},
        },
        unread=unread,
    )


def check_texts(
    material: Material, judgments: pd.DataFrame, counter: TokenCounter, max_tokens: int,
    settings: QualitySettings, findings: Findings,
) -> None:  # fmt: skip
    """The checks that need no model.

    Args:
        material: The tables.
        judgments: Of them, query_id, query, text (the query, folded), passage_id and source.
        counter: Of tokens.
        max_tokens: The longest text the model reads.
        settings: Thresholds.
        findings: Where to.
    """
    check_passages(material.passages, settings, findings)
    check_queries(judgments, settings, findings)
    if findings.wanted("contradiction"):
        check_contradictions(material.labels, findings)
    if findings.wanted("copied_query"):
        check_copied(judgments, material.passages, settings, findings)
    if findings.wanted("cut_positive"):
        check_cut(judgments, material.passages, counter.count, max_tokens, findings)
    if findings.wanted("source_imbalance"):
        check_sources(judgments, settings, findings)
    if findings.wanted("class_imbalance"):
        check_classes(judgments, material.passages, findings)
    if findings.wanted("language"):
        check_languages(judgments, material.passages, settings, findings)
    if findings.wanted("personal_data"):
        check_personal_data(judgments, material.passages, settings, findings)


def judgment_frame(judgments: TableReader) -> pd.DataFrame:
    """Of a JUDGMENTS table the columns query_id, query, passage_id and source, and text: the query, folded."""
    return _with_text(judgments.read(["query_id", "query", "passage_id", "source"]))


def sample_by_passage(judgments: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """All judgments about passages drawn at random, about `size` of them; all when there are no more."""
    if len(judgments) <= size:
        return judgments
    codes, passages = pd.factorize(judgments["passage_id"], sort=True)
    order = np.random.default_rng(seed).permutation(len(passages))
    fitting = np.searchsorted(np.cumsum(np.bincount(codes)[order]), size, side="right")
    taken = order[: max(1, int(fitting))]
    return judgments[np.isin(codes, taken)]


def _effective_severities(settings: QualitySettings, splits: SplitSettings) -> dict[str, Severity]:
    found = severities(settings)
    if splits.strategy == "given" and "leakage" not in settings.severity:
        found["leakage"] = "warn"
    return found


def _with_text(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame.assign(text=frame["query"].map(normalized_query))


def _check_leakage(leakage: Leakage, findings: Findings) -> None:
    shared = (
        ("leakage", leakage.queries, "query texts"),
        ("leakage", leakage.positives, "positives"),
        ("near_leakage", leakage.near_queries, "pairs of near-duplicate queries"),
    )
    for check, counts, what in shared:
        for pair, count in counts.items():
            if count:
                findings.add(check, "domain", f"{pair} share {count:,} {what}")
