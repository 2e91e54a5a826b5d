"""The tables stages hand to each other: flat columns, so that their content can be hashed row by row."""

import hashlib
import re

import pyarrow as pa

DOCUMENTS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),  # a JSON object with sorted keys
        pa.field("content_hash", pa.string(), nullable=False),  # of title and text
    ]
)

PASSAGES = pa.schema(
    [
        pa.field("passage_id", pa.string(), nullable=False),
        *DOCUMENTS,  # the title of a section is "document title > heading > heading"
        pa.field("heading", pa.string(), nullable=False),  # the headings it stands under, " > " between; or empty
        pa.field("start", pa.int64(), nullable=False),  # its place in the document's text, in characters
        pa.field("end", pa.int64(), nullable=False),
    ]
)

LABELS = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("query", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=True),  # a passage or a document; null: look the answer up
        pa.field("answer", pa.string(), nullable=True),  # text that stands in the passage that answers
        pa.field("grade", pa.int32(), nullable=False),  # 0 and less: judged, or inferred, not relevant
        pa.field("source", pa.string(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("created_at", pa.string(), nullable=True),  # ISO 8601
        pa.field("split", pa.string(), nullable=True),  # train, validation or test; null: not decided
        pa.field("train_only", pa.bool_(), nullable=False),  # made up, not asked: never in validation or test
        pa.field("filters", pa.string(), nullable=True),  # what narrows the search, as `filter_text` writes it
    ]
)
"""What the sources say, before it is known which passage is meant."""

JUDGMENTS = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("query", pa.string(), nullable=False),
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("grade", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("created_at", pa.string(), nullable=True),
        pa.field("split", pa.string(), nullable=True),
        pa.field("train_only", pa.bool_(), nullable=False),
        pa.field("filters", pa.string(), nullable=True),
    ]
)
"""Judgments that may be used: positives (grade 1 and more) about passages that exist."""

JUDGED_NEGATIVES = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("query", pa.string(), nullable=False),
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
    ]
)
"""Judged, or seen and passed over: candidates for hard negatives."""

UNDECIDED = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("query", pa.string(), nullable=False),
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("grade", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""Judgments that wait for a person, and why."""

FINDINGS = pa.schema(
    [
        pa.field("check", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),  # info, warn or error
        pa.field("kind", pa.string(), nullable=False),  # of the culprit: passage, query, judgment or domain
        pa.field("query_id", pa.string(), nullable=True),
        pa.field("passage_id", pa.string(), nullable=True),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""One row for each thing that looks wrong."""

SPLITS = JUDGMENTS.set(JUDGMENTS.get_field_index("split"), pa.field("split", pa.string(), nullable=False))

HARD_NEGATIVES = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),  # cosine by the miner checkpoint, else by the base
        pa.field("positive_score", pa.float32(), nullable=False),  # likewise, of the query's lowest-scoring positive
        pa.field("rank", pa.int32(), nullable=False),  # 1-based, the best in any miner's ranking; 0: judged, not mined
        pa.field("miner", pa.string(), nullable=False),  # base/dense, bm25, checkpoint/…, joined by +; or judged/SOURCE
    ]
)

SPLIT_NAMES = ("train", "validation", "test")


def content_hash(title: str, text: str) -> str:
    """Identity of what a model sees of a passage: 32 hex digits over title and text."""
    return hashlib.sha256(f"{title}\x00{text}".encode()).hexdigest()[:32]


def normalized_query(text: str) -> str:
    """Two queries count as the same text when this is equal: case and white space folded."""
    return re.sub(r"\s+", " ", text).strip().casefold()
