"""The kinds of judgment files, each with what its rows say."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from domain_embed.settings.section import Added, Section

GradeField: TypeAlias = Annotated[str | None, Added(as_before=None)]
UnusedFields: TypeAlias = Annotated[tuple[str, ...], Added(as_before=())]


class PairsSource(Section):
    """Judgments as rows of query and passage id."""

    kind: Literal["pairs"] = "pairs"
    path: str = "judgments.jsonl"
    """A .jsonl, .csv, .tsv or .parquet file with `query` and `passage_id` (of a passage, or of a document), and
    optionally `query_id`, `grade` (default 1; 0 is a judged negative), `confidence` (default 1.0), `source`,
    `created_at` and `split` (train, validation or test)."""
    grade_field: GradeField = None
    """The column that is the grade, where it has another name: numbers, or true and false, yes and no; in every row. 0
    and less: judged not relevant."""
    unused_fields: UnusedFields = ()
    """Columns that are known and not to be read; others that are not read are named by `plan` and `run`."""


class BeirSource(Section):
    """Judgments in the BEIR layout."""

    kind: Literal["beir"] = "beir"
    queries: str = "queries.jsonl"
    """One object a line with `_id` and `text`."""
    qrels: dict[Literal["train", "validation", "test"], str]
    """For each split, a TSV of query-id, corpus-id and score."""
    unused_fields: UnusedFields = ()
    """Columns that are known and not to be read."""


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
    grade_field: GradeField = None
    """The column that says whether the answer is right: numbers, or true and false, yes and no; in every row. Without
    it, all are."""
    unused_fields: UnusedFields = ()
    """Columns that are known and not to be read."""


class TicketsSource(Section):
    """Support tickets, chats or call transcripts that were solved with an article."""

    kind: Literal["tickets"] = "tickets"
    path: str = "tickets.jsonl"
    """A .jsonl, .csv, .tsv or .parquet file with `doc_id` (the article), and `subject`, `text` (the customer's first
    message) or `turns` (a transcript: objects of `speaker` and `text`), and optionally `ticket_id`, `resolution`
    (which says where in the article the answer is), `solved` (false leaves the row out), `created_at` and `split`."""
    grade_field: GradeField = None
    """The column that says whether the article helped: numbers, or true and false, yes and no; in every row. Without
    it, all did."""
    unused_fields: UnusedFields = ()
    """Columns that are known and not to be read."""
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
    grade_field: GradeField = None
    """The column that is the grade, where it is not called `grade`."""
    unused_fields: UnusedFields = ()
    """Columns that are known and not to be read."""


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
    unused_fields: UnusedFields = ()
    """Columns that are known and not to be read."""


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
