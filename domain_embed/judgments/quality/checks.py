"""The checks: what each is called, how bad it is, what it costs to leave it, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain_embed.contracts.errors import SettingsError
from domain_embed.settings import QualitySettings, Severity


@dataclass(frozen=True)
class Check:
    """One thing to look for; `name` is what `quality.severity` in domain.yaml calls it."""

    name: str
    severity: Severity
    title: str
    cost: str
    remedy: str


_ALL = (
    Check(
        "leakage", "error", "Splits share queries or positives",
        "What was learned is asked: the figures on the test set are too good, by an unknown amount.",
        "Set splits.strategy to `hash`, or take the shared judgments out of one of the splits.",
    ),
    Check(
        "near_leakage", "warn", "Splits share near-duplicate queries",
        "A test query that was trained on in other words measures memory, not skill.",
        "Set splits.near_duplicates, with strategy `hash` or `time`.",
    ),
    Check(
        "suspect_label", "warn", "Positives that no ranking finds",
        "A wrong positive teaches the model a wrong answer, and in the test set it counts right answers as wrong.",
        "Look at them: `domain-embed review` hands them out. Correct the judgment or leave it out.",
    ),
    Check(
        "contradiction", "warn", "Judgments that contradict each other",
        "The same passage is an answer and none; whichever is kept is wrong for somebody.",
        "Decide with `domain-embed review`, or drop the less trusted source.",
    ),
    Check(
        "cut_positive", "warn", "Positives longer than the model reads",
        "What follows the limit is never seen: if the answer stands there, the model learns from the wrong text.",
        "Set chunking.strategy to `headings` or `sentences`, or raise model.max_tokens.",
    ),
    Check(
        "copied_query", "warn", "Queries copied from their passage",
        "Word overlap answers them; they teach nothing and make the test set look easy.",
        "Replace them by queries in the words of those who ask.",
    ),
    Check(
        "broad_passage", "warn", "Passages that answer too many queries",
        "A stop-gap answer draws everything to itself.",
        "Judge these queries again, or split the passage; quality.max_queries_per_passage is the limit.",
    ),
    Check(
        "broad_query", "warn", "Queries with too many positives",
        "A query that fits everything says little about any passage.",
        "Drop them or make them narrower; quality.max_passages_per_query is the limit.",
    ),
    Check(
        "short_text", "warn", "Near-empty passages",
        "They are close to every short query and push answers down.",
        "Leave them out of the corpus, or join them with their neighbours; quality.min_characters is the limit.",
    ),
    Check(
        "duplicate_passage", "warn", "Passages with the same text",
        "One copy is judged relevant, the other counts as a mistake, in training and in the figures.",
        "Keep one copy in the corpus, or judge all of them.",
    ),
    Check(
        "near_duplicate_passage", "info", "Passages with nearly the same text",
        "Mining takes one for a hard negative of the other, though it answers as well.",
        "Keep the current version, or judge both.",
    ),
    Check(
        "duplicate_query", "info", "Queries that occur under several ids",
        "They count several times in training and in every mean.",
        "Give the same question one id.",
    ),
    Check(
        "near_duplicate_query", "info", "Queries with nearly the same text",
        "They count several times; splits keep them together.",
        "Nothing, unless they are many: then thin them out.",
    ),
    Check(
        "unread_text", "warn", "Texts the model cannot read",
        "Its vocabulary lacks their characters, so that different texts get the same vector; training does not help.",
        "Set model.base to a multilingual model, like intfloat/multilingual-e5-small; or leave these texts out.",
    ),
    Check(
        "language", "warn", "Texts in another language",
        "A model for one language places others at random, and stemming and stop words of BM25 do not fit.",
        "Name all expected ones in quality.languages, take a multilingual base model, or leave these texts out.",
    ),
    Check(
        "personal_data", "warn", "Personal data",
        "It ends up in vectors' payloads, reports and training data, where nobody looks for it.",
        "Remove or mask it in the source files.",
    ),
    Check(
        "source_imbalance", "info", "One source decides alone",
        "The model learns, and the figures show, what this source is like.",
        "Weigh the others' results on their own, or add judgments of theirs.",
    ),
    Check(
        "class_imbalance", "info", "Parts of the corpus that are hardly judged",
        "Nothing is known about retrieval there, and training may make it worse unseen.",
        "Collect judgments for them; synthetic.source makes queries to train on.",
    ),
    Check(
        "easy_test", "warn", "The test set is easy",
        "Where BM25 has the answer at rank 1, no model can show that it is better.",
        "Add test queries in the words of those who ask.",
    ),
)  # fmt: skip

CHECKS: Mapping[str, Check] = {check.name: check for check in _ALL}
"""By name, the worst first."""


def severities(settings: QualitySettings) -> dict[str, Severity]:
    """The severity of every check: its own, or what the settings say.

    Raises:
        SettingsError: When the settings name a check that does not exist.
    """
    unknown = sorted(set(settings.severity) - set(CHECKS))
    if unknown:
        raise SettingsError(f"quality.severity: unknown check {', '.join(unknown)}", f"checks: {', '.join(CHECKS)}")
    found: dict[str, Severity] = {name: check.severity for name, check in CHECKS.items()}
    found |= settings.severity
    if not settings.personal_data:
        found["personal_data"] = "off"
    return found
