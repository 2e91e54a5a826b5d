"""Settings from files to passages."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from domain_embed.settings.section import Added, Section

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
    metadata_types: dict[str, MetadataType] = Field({})
    """Metadata to read as another type than it is written: "str", "int", "float", "bool" or "date" (kept as
    YYYY-MM-DD)."""
    bad_rows: Literal["fail", "skip"] = "fail"
    """What to do with a row that cannot be read: fail and name it, or skip, count and report it."""
    bad_files: Literal["fail", "skip"] = "skip"
    """The same for a file that holds one document, and for links and devices among the files."""
    max_file_mb: Annotated[int, Added(as_before=128)] = Field(128, ge=1, le=1024)
    """Of a file that holds one document: the longest that is read, in megabytes."""
    read_seconds: Annotated[float, Added(as_before=30.0)] = Field(30.0, gt=0, le=3600)
    """How long reading such a file may take, and as much again for every megabyte of it; a PDF takes some seconds for
    a hundred pages."""

    @model_validator(mode="after")
    def _patterns_can_be_compiled(self) -> Self:
        for pattern in self.path_metadata:
            try:
                names = re.compile(pattern).groupindex
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"path_metadata: {pattern!r:.200} is not a regular expression: {error}") from None
            if not names:
                raise ValueError(f"path_metadata: {pattern!r:.200} has no named group, like (?P<year>...)")
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
