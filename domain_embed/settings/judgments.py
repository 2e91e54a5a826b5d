"""Settings from judgment files to splits, and of what is found on the way."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from domain_embed.settings.section import Section
from domain_embed.settings.sources import JudgmentSource, PairsSource


class JudgmentSettings(Section):
    """Which passages answer which queries, from files of any number and kind."""

    sources: tuple[JudgmentSource, ...] = Field((PairsSource(),), min_length=1)
    """Each with its `kind`: pairs (query and passage id), beir, trec, triples (MS MARCO), answers (question and
    answer text), tickets (linked to an article), annotations (several people) or clicks (search logs)."""


class AlignmentSettings(Section):
    """How a judgment about a whole document, or about an answer's text, is narrowed to a passage."""

    min_answer_share: float = Field(0.85, gt=0, le=1)
    """A passage holds an answer when this share of the answer's words stands in it, in order."""
    min_confidence: float = Field(0.5, ge=0, le=1)
    """Less certain ones are not used before a person has decided: see `domain-embed review`."""
    depth: int = Field(1000, ge=10)
    """How deep base model and BM25 look for the passages of a document."""


class SyntheticSettings(Section):
    """Queries made up for passages that nobody has judged; marked as such, and never in validation or test."""

    source: Literal["none", "headings", "endpoint"] = "none"
    """`headings`: a section's heading as the query for the section. `endpoint`: a language model behind an
    OpenAI-compatible server, reached by OPENAI_BASE_URL and OPENAI_API_KEY."""
    model: str = ""
    """Name of the endpoint's model; empty takes OPENAI_MODEL."""
    max_passages: int = Field(1000, ge=1)
    """How many unjudged passages get queries, drawn at random."""
    queries_per_passage: int = Field(2, ge=1, le=10)
    """Asked of the endpoint for each passage."""
    examples: tuple[str, ...] = ()
    """A few queries as your users write them, shown to the language model."""
    prompt: str | None = None
    """A file with the prompt, relative to this folder, with {title}, {text}, {count} and {examples}; null takes the
    packaged one."""
    requests_per_minute: int = Field(60, ge=1)
    """Fastest rate of requests."""
    round_trip_depth: int = Field(20, ge=1)
    """A query is kept when base model or BM25 finds its passage among this many."""
    max_copied: float = Field(0.8, gt=0, le=1)
    """A query is dropped when more than this share of its words stands in the passage in one piece."""
    seed: int = 0
    """Seed of the draw."""


class ReviewSettings(Section):
    """What people decide about judgments that are not certain."""

    decisions: str = "decisions.jsonl"
    """Where imported decisions are kept, in this folder."""


class SplitSettings(Section):
    """How queries are held out."""

    strategy: Literal["hash", "given", "time"] = "hash"
    """`hash`: by a hash of the positive passages, so that no positive and no query text is in two splits; what was
    held out once stays held out. `given`: exactly as the judgments say; one without a split trains, unless its query
    is held out. `time`: by `created_at`, the newest for the test."""
    validation: float = Field(0.1, gt=0, lt=0.5)
    """Share of the queries that choose the checkpoint."""
    test: float = Field(0.2, gt=0, lt=0.5)
    """Share of the queries that judge it; they are used for nothing else."""
    near_duplicates: float | None = Field(0.9, gt=0.5, le=1)
    """Queries whose character 5-grams overlap at least so much (Jaccard) stay in one split; null looks at equal text
    only."""
    by_document: bool = False
    """Whether all judgments about one document stay in one split."""
    validation_from: date | None = None
    """With `time`: from this day on judgments validate ..."""
    test_from: date | None = None
    """... and from this day on they test. What is tied to a later one goes with it."""

    @model_validator(mode="after")
    def _time_has_its_days(self) -> Self:
        if self.strategy == "time" and (self.validation_from is None or self.test_from is None):
            raise ValueError("strategy `time` needs validation_from and test_from")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ValueError("validation_from must be before test_from")
        return self


Severity = Literal["off", "info", "warn", "error"]
_Severity = Annotated[Severity, BeforeValidator(lambda value: "off" if value is False else value)]
"""`off` without quotes is a boolean to YAML, and taken for what it looks like."""


class QualitySettings(Section):
    """What the quality report looks for, and how bad it is. An `error` stops the run before training."""

    severity: dict[str, _Severity] = Field({})
    """By name of the check, to change its own severity: {short_text: off, suspect_label: error}."""
    min_characters: int = Field(20, ge=1)
    """Shorter passages are near-empty."""
    near_duplicates: float = Field(0.9, gt=0.5, le=1)
    """Jaccard overlap of character 5-grams from which two texts are near-duplicates."""
    copied_words: int = Field(8, ge=3)
    """A query of at least so many words that stands in its passage word for word is copied from it."""
    max_queries_per_passage: int = Field(50, ge=2)
    """A passage that answers more queries is too broad, or a stop-gap."""
    max_passages_per_query: int = Field(20, ge=2)
    """A query with more positives is too broad."""
    suspect_depth: int = Field(1000, ge=10)
    """A positive that neither base model nor BM25 ranks among this many is a suspect label."""
    max_source_share: float = Field(0.9, gt=0, le=1)
    """One source of several with more of the judgments than this decides alone."""
    easy_share: float = Field(0.7, gt=0, le=1)
    """From this share of test queries on that BM25 answers at rank 1, the test set is too easy to show anything."""
    languages: tuple[str, ...] = ()
    """Expected languages as ISO 639-1 codes; empty takes the most frequent one."""
    personal_data: bool = False
    """Whether to look for personal data; needs the extra `pii`, and time."""
    sample: int = Field(20_000, ge=100)
    """Costly checks (language, personal data, ranks) look at this many rows, drawn at random."""
    seed: int = 0
    """Seed of the draws."""
