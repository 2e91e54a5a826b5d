"""What passages are about, as a table says and as a collection holds it, in a form that can be compared."""

import json
from functools import lru_cache
from typing import NamedTuple

from domain_embed.contracts.metadata import metadata_hash
from domain_embed.contracts.ports import Collection, TableReader

BATCH_ROWS = 16_384
_COLUMNS = ["passage_id", "doc_id", "content_hash", "metadata"]


class Content(NamedTuple):
    """Of one passage: its document, the hash of title and text, and that of its metadata."""

    doc_id: str
    text: str
    metadata: str


def contents_of(passages: TableReader) -> dict[str, Content]:
    """What a PASSAGES table says, by passage id."""
    found: dict[str, Content] = {}
    for batch in passages.batches(BATCH_ROWS, columns=_COLUMNS):
        columns = (batch.column(name).to_pylist() for name in _COLUMNS)
        for passage_id, doc_id, text, metadata in zip(*columns, strict=True):
            found[passage_id] = Content(doc_id, text, _hash_of(metadata))
    return found


def stored_contents(collection: Collection) -> dict[str, Content]:
    """What a collection holds, by passage id."""
    return {
        one.passage_id: Content(one.doc_id, one.content_hash, metadata_hash(one.metadata))
        for one in collection.contents()
    }


def holds_exactly(collection: Collection, passages: TableReader) -> bool:
    """Whether a collection has these passages, all of them and no other, with their texts and metadata."""
    return stored_contents(collection) == contents_of(passages)


@lru_cache(maxsize=4096)
def _hash_of(encoded: str) -> str:
    return metadata_hash(json.loads(encoded))
