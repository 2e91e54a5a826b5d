"""Withholding: what was deleted or restricted is taken out of every collection that serves, or can be made to."""

import json
import logging
from collections import defaultdict
from collections.abc import Collection as AnyCollection
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import (
    CollectionGoneError,
    DomainEmbedError,
    NotReadyError,
    StoreError,
    StoreUnavailableError,
)
from domain_embed.contracts.metadata import metadata_hash
from domain_embed.contracts.ports import Collection, TableReader, VectorStore
from domain_embed.contracts.records import CollectionInfo, Hit
from domain_embed.files import keep_file, read_json
from domain_embed.indexing.contents import BATCH_ROWS, Content, contents_of

logger = logging.getLogger("domain_embed.run")

HEADINGS = " > "


@dataclass(frozen=True)
class Withheld:
    """What was done to one collection: passages that are gone from it, and passages that got other metadata."""

    collection: str
    removed: int
    changed: int


class Alignments:
    """Against which documents and passages each collection was last compared, kept in a file.

    It holds for the collection as it was then: one that is amended or built again since counts as not compared.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def hold(self, info: CollectionInfo, version: str) -> bool:
        """Whether nothing can have changed since the comparison."""
        return self._read().get(info.name) == _state(info, version)

    def remember(self, info: CollectionInfo, version: str) -> None:
        """To be called once a collection is aligned."""
        keep_file(self._path, json.dumps(self._read() | {info.name: _state(info, version)}, indent=1))

    def _read(self) -> dict[str, Any]:
        return read_json(self._path) if self._path.exists() else {}


def withhold(
    store: VectorStore, passages: TableReader | None, aligned: Alignments, *, documents: TableReader | None = None,
    only: AnyCollection[str] | None = None, purge: bool = False,
) -> list[Withheld]:  # fmt: skip
    """Amends every complete collection that holds what is gone, or holds it for other groups than today's.

    A passage is gone when the table has its id with another text, or does not have its id. Where DOCUMENTS are given,
    one whose id the table lacks stays while its title and text stand in its document: cutting documents in another way
    takes nothing away. An aligned collection costs nothing; interrupted, the next call does the rest.

    Args:
        store: Whose collections.
        passages: The PASSAGES there are, cut from `documents`; None compares every passage with its document.
        aligned: What was compared before; it is kept up to date.
        documents: The DOCUMENTS there are.
        only: These collections; all by default.
        purge: Also takes the bytes of what is gone off the disk, see `VectorStore.amend`. All are amended then.

    Raises:
        StoreError: Some collections could not be amended. They are named; the others are done. It is
            StoreUnavailableError when trying again may help.
    """
    version = " ".join(table.version if table else "-" for table in (passages, documents))
    infos = [info for info in store.collections() if only is None or info.name in only]
    due = [info for info in infos if purge or not (_is_built_of(info, passages) or aligned.hold(info, version))]
    today = _Today(contents_of(passages) if passages and due else {}, passages, documents)
    done, failures = [], dict[str, DomainEmbedError]()
    for info in due:
        try:
            found = _align(store, info.name, today, purge)
            after = next((now for now in store.collections() if now.name == info.name), None)
            if after is not None:
                aligned.remember(after, version)
        except (CollectionGoneError, NotReadyError):  # dropped meanwhile: it serves nobody
            continue
        except DomainEmbedError as error:
            logger.error("%s: could not be amended: %s", info.name, error)
            failures[info.name] = error
            continue
        if found.removed or found.changed:
            logger.info(
                "%s: %d passages withheld, %d with other metadata", info.name, found.removed, found.changed
            )  # fmt: skip
            done.append(found)
    if failures:
        raise _of(failures)
    store.collections(every=only is None)  # raises for one that cannot be read now: it was passed over
    return done


@dataclass
class _Today:
    """What may be served today."""

    contents: Mapping[str, Content]
    passages: TableReader | None
    documents: TableReader | None

    def metadata_of(self, passage_ids: AnyCollection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The metadata of those passages of the table."""
        if self.passages is None or not passage_ids:
            return
        for batch in self.passages.batches(BATCH_ROWS, columns=["passage_id", "metadata"]):
            for passage_id, encoded in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if passage_id in passage_ids:
                    yield passage_id, json.loads(encoded)

    def documents_of(self, doc_ids: AnyCollection[str]) -> Iterator[dict[str, Any]]:
        """Those of the documents that there are."""
        if self.documents is None or not doc_ids:
            return
        for batch in self.documents.batches(BATCH_ROWS, columns=["doc_id", "title", "text", "metadata"]):
            wanted = [place for place, doc_id in enumerate(batch.column("doc_id").to_pylist()) if doc_id in doc_ids]
            yield from batch.take(wanted).to_pylist() if wanted else ()


@dataclass
class _Changes:
    """What to do to one collection."""

    remove: set[str] = field(default_factory=set)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)


def _align(store: VectorStore, name: str, today: _Today, purge: bool) -> Withheld:
    collection = store.open(name)
    try:
        changes = _changes(collection, today)
    finally:
        collection.close()
    if changes.remove or changes.metadata or purge:
        store.amend(name, remove=changes.remove, metadata=changes.metadata, purge=purge)
    return Withheld(name, len(changes.remove), len(changes.metadata))


def _changes(collection: Collection, today: _Today) -> _Changes:
    found, restricted = _Changes(), set[str]()
    by_document: dict[str, set[str]] = defaultdict(set)  # passages that the table does not have
    for stored in collection.contents():
        now = today.contents.get(stored.passage_id)
        if now is None:
            by_document[stored.doc_id].add(stored.passage_id)
        elif (now.text, now.doc_id) != (stored.content_hash, stored.doc_id):
            found.remove.add(stored.passage_id)
        elif now.metadata != metadata_hash(stored.metadata):
            restricted.add(stored.passage_id)
    found.metadata.update(today.metadata_of(restricted))
    found.remove.update(passage_id for passage_ids in by_document.values() for passage_id in passage_ids)
    for document in today.documents_of(by_document):
        metadata = json.loads(document["metadata"])
        asked = [Hit(passage_id, 0.0) for passage_id in sorted(by_document[document["doc_id"]])]
        for hit in collection.describe([asked])[0]:
            if _stands(hit, document):
                found.remove.discard(hit.passage_id)
                if metadata_hash(metadata) != metadata_hash(hit.metadata):
                    found.metadata[hit.passage_id] = metadata
    return found


def _stands(hit: Hit, document: Mapping[str, Any]) -> bool:
    """Whether a document still says what a passage of it says: text, and headings in the title."""
    title, text = str(document["title"]), str(document["text"])
    if hit.passage_id == hit.doc_id:  # it is the document as a whole
        return (hit.title, hit.text) == (title, text)
    headings = hit.title.removeprefix(title) if hit.title.startswith(title) else hit.title
    return hit.text in text and all(heading in text for heading in headings.split(HEADINGS))


def _is_built_of(info: CollectionInfo, passages: TableReader | None) -> bool:
    return passages is not None and not info.amended and info.passages_version == passages.version


def _state(info: CollectionInfo, version: str) -> list[str]:
    return [version, info.built_at, info.amended]


def _of(failures: Mapping[str, DomainEmbedError]) -> StoreError:
    may_pass = all(isinstance(error, StoreUnavailableError) for error in failures.values())
    told = "; ".join(f"{name}: {error}" for name, error in failures.items())
    return (StoreUnavailableError if may_pass else StoreError)(
        f"what was deleted or restricted may still be found in {', '.join(failures)} ({told})",
        "the others are done; correct this, then run again, or drop those collections",
    )
