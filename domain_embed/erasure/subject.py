"""What an erasure is about: the documents, what was made of them under which ids, and by what their texts are found."""

import difflib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.errors import DomainEmbedError, InputError, StoreError
from domain_embed.contracts.ports import VectorStore
from domain_embed.contracts.records import embedded_text
from domain_embed.corpus.erased import read_erased
from domain_embed.corpus.lines import ROW_SUFFIXES, read_rows
from domain_embed.corpus.readers import FILE_SUFFIXES, read_file
from domain_embed.corpus.sources import find_files, relative_names
from domain_embed.encoding.score_cache import pair_key
from domain_embed.erasure.traces import Traces
from domain_embed.files import keep_file, read_json
from domain_embed.indexing.identity import CANARIES
from domain_embed.judgments.answers import cache_key
from domain_embed.judgments.prompt import Prompt
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import Workspace

UNFINISHED_FILE = "erasing.json"
"""In the store of the domain while an erasure is not finished: ids, and hashes by which texts are recognised."""
BATCH_ROWS = 4096
TEACHERS = "teacher-"
SECTION_MARK = "#"
"""Between a document's id and what tells its passages apart."""


@dataclass
class Subject:
    """The documents to erase, and what leads to what was made of them.

    `passages` are ids, `contents` hashes of texts, `scored` and `asked` the keys of scores and of what a language model
    answered about them; `models` are the trained ones that knew one of their passages.
    """

    documents: set[str]
    passages: set[str] = field(default_factory=set)
    contents: set[str] = field(default_factory=set)
    made_queries: set[str] = field(default_factory=set)
    scored: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    traces: Traces = field(default_factory=Traces)

    def owns(self, passage_id: str) -> bool:
        """Whether a passage is of one of the documents."""
        return (
            passage_id in self.passages
            or passage_id in self.documents
            or passage_id.rpartition(SECTION_MARK)[0] in self.documents
        )

    def keep(self, root: Path) -> None:
        """Notes it until the erasure is finished: by then, the texts it was found by are gone."""
        content = {
            **{name: sorted(getattr(self, name)) for name in _ID_FIELDS},
            "traces": self.traces.to_json(),
        }
        keep_file(root / UNFINISHED_FILE, json.dumps(content))

    def merge(self, other: "Subject") -> None:
        """What the other knows as well."""
        for name in _ID_FIELDS:
            getattr(self, name).update(getattr(other, name))
        self.traces.update(other.traces)


_ID_FIELDS = ("documents", "passages", "contents", "made_queries", "scored", "asked", "models")


def unfinished(root: Path) -> Subject | None:
    """An erasure that was interrupted, or could not reach everything."""
    path = root / UNFINISHED_FILE
    if not path.exists():
        return None
    content = read_json(path)
    try:
        known = {name: set(content[name]) for name in _ID_FIELDS}
        return Subject(**known, traces=Traces.from_json(content["traces"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", "delete it and erase the documents again") from None


def gather(workspace: Workspace, store: VectorStore, settings: DomainSettings | None, ids: Collection[str]) -> Subject:
    """Everything known of the documents, from tables, collections, sources, and an erasure that was not finished.

    Raises InputError for ids that nothing knows, with those that are near.
    """
    subject = Subject(set(ids))
    before = unfinished(workspace.root)
    if before is not None:
        subject.merge(before)
    known = set(read_erased(workspace.folder)) | (before.documents if before else set())
    known |= _of_tables(workspace, subject) | _of_collections(store, subject)
    known |= _of_sources(workspace, settings, subject) | _of_references(workspace, subject)
    unknown = sorted(set(ids) - known)
    if unknown:
        near = [close for one in unknown for close in difflib.get_close_matches(one, known, n=3)]
        meant = f"did you mean {', '.join(map(repr, near))}?" if near else "documents are named by their ids"
        raise InputError.of_culprits(f"domain {workspace.domain!r} has, and had, no document", unknown, hint=meant)
    _leave_what_others_say(workspace, subject)
    subject.asked |= _asked(workspace, settings, subject)
    return subject


def _asked(workspace: Workspace, settings: DomainSettings | None, subject: Subject) -> set[str]:
    """The keys of the queries that a language model made up, by what the settings ask it now."""
    if settings is None or settings.synthetic.source != "endpoint":
        return set()
    made = settings.synthetic
    model = made.model or os.environ.get("OPENAI_MODEL", "").strip()
    try:
        version = Prompt.read(made.prompt, workspace.folder).version
    except DomainEmbedError:
        return set()
    return {cache_key(one, model, version, made.queries_per_passage, made.examples) for one in subject.contents}


def _of_tables(workspace: Workspace, subject: Subject) -> set[str]:
    tables, known = workspace.tables, set()
    for name in ("documents", "passages"):
        if tables.has(name):
            for batch in tables.read(name).batches(BATCH_ROWS):
                known |= set(batch["doc_id"].to_pylist())
                _learn(
                    batch.filter(pc.is_in(batch["doc_id"], pa.array(sorted(subject.documents)))).to_pylist(), subject
                )
    if tables.has("judgments"):
        known |= set(tables.read("judgments").read(["doc_id"])["doc_id"].unique().to_pylist())
    if tables.has("labels"):
        known |= set(tables.read("labels").read(["target"])["target"].unique().drop_null().to_pylist())
    if tables.has("synthetic_queries"):
        for row in tables.read("synthetic_queries").read(["query_id", "query", "target"]).to_pylist():
            if subject.owns(row["target"] or ""):
                subject.made_queries.add(row["query_id"])
                subject.traces.remember(row["query"])
    return known


def _of_collections(store: VectorStore, subject: Subject) -> set[str]:
    known = set()
    for info in store.collections(every=True):
        collection = store.open(info.name)
        try:
            mine = []
            for content in collection.contents():
                known.add(content.doc_id)
                if content.doc_id in subject.documents:
                    mine.append(content.passage_id)
            _learn([vars_of(point) for point in collection.fetch(mine)], subject)
        finally:
            collection.close()
    return known


def vars_of(point: Any) -> dict[str, str]:
    """What a stored point shares with a row of the passages."""
    return {name: getattr(point, name) for name in ("passage_id", "title", "text", "content_hash")}


def _learn(rows: Sequence[Mapping[str, Any]], subject: Subject) -> None:
    for row in rows:
        subject.traces.remember(row["title"])
        subject.traces.remember(row["text"])
        subject.contents.add(row["content_hash"])
        if "passage_id" in row:
            subject.passages.add(row["passage_id"])


def _of_references(workspace: Workspace, subject: Subject) -> set[str]:
    """Which models knew a passage of the documents when they were trained, also by what was noted of an erasure."""
    known = set()
    for line in workspace.trail.read(workspace.domain):
        if subject.documents & set(line.details.get("documents", ())):
            subject.models.update(line.details.get("models", ()))
    for folder in workspace.references():
        reference = workspace.reference(folder)
        if reference.has("passages"):
            ids = reference.read("passages").read(["passage_id"])["passage_id"].to_pylist()
            known |= {passage_id.rpartition(SECTION_MARK)[0] or passage_id for passage_id in ids}
            if any(map(subject.owns, ids)):
                subject.models.add(folder)
    return known


def _of_sources(workspace: Workspace, settings: DomainSettings | None, subject: Subject) -> set[str]:
    """Texts of the documents as the sources have them: they may never have been in a table that is still there."""
    known = set()
    for found in source_documents(workspace, settings):
        known.add(found.doc_id)
        if found.doc_id in subject.documents:
            for text in found.texts():
                subject.traces.remember(text)
    return known


@dataclass(frozen=True)
class SourceDocument:
    """A document where the user keeps it; `line` is None where it is the whole file."""

    doc_id: str
    path: Path
    line: int | None
    row: Mapping[str, Any]

    def texts(self) -> Iterator[str]:
        """Everything it says."""
        yield from (value for value in self.row.values() if isinstance(value, str) and value != self.doc_id)


def source_documents(workspace: Workspace, settings: DomainSettings | None) -> Iterator[SourceDocument]:
    """The documents of the sources, as far as they can be read: nothing here depends on their being sound."""
    if settings is None:
        return
    corpus = settings.corpus
    try:
        files = find_files(workspace.folder, corpus.paths)
    except (DomainEmbedError, OSError):
        return
    names = relative_names(files, workspace.folder, corpus.paths)
    ids = (corpus.id_field,) if corpus.id_field else ("_id", "id")
    for path, name in zip(files, names, strict=True):
        try:
            if path.suffix.lower() in FILE_SUFFIXES:
                yield SourceDocument(name, path, None, _whole(path))
            elif path.suffix.lower() in ROW_SUFFIXES:
                for number, row in read_rows(path, on_error=lambda error: None):
                    doc_id = next((row[field] for field in ids if row.get(field) is not None), None)
                    if isinstance(doc_id, str | int):
                        yield SourceDocument(str(doc_id), path, number, row)
        except (DomainEmbedError, OSError):
            continue


def _whole(path: Path) -> dict[str, str]:
    """A file that cannot be read has no text that could have got anywhere; its name is known all the same."""
    try:
        found = read_file(path)
    except DomainEmbedError:
        return {}
    return {"title": found.title, "text": found.text}


def _leave_what_others_say(workspace: Workspace, subject: Subject) -> None:
    """What other documents, ids, or people in their queries say as well is no trace of these documents."""
    tables, traces = workspace.tables, subject.traces
    for own in (*subject.documents, *subject.passages, *CANARIES):
        traces.forget(own)
    if tables.has("documents"):
        for batch in tables.read("documents").batches(BATCH_ROWS):
            others = batch.filter(pc.invert(pc.is_in(batch["doc_id"], pa.array(sorted(subject.documents)))))
            for title, text in zip(others["title"].to_pylist(), others["text"].to_pylist(), strict=True):
                traces.forget(title)
                traces.forget(text)
    if tables.has("passages"):
        for batch in tables.read("passages").batches(BATCH_ROWS):
            others = batch.filter(pc.invert(pc.is_in(batch["doc_id"], pa.array(sorted(subject.documents)))))
            subject.contents.difference_update(others["content_hash"].to_pylist())
            for title in pc.unique(others["title"]).to_pylist():
                traces.forget(title)
    for query in people_queries(workspace, subject):
        traces.forget(query)


def people_queries(workspace: Workspace, subject: Subject) -> set[str]:
    """The texts of queries that were asked, not made up of the documents."""
    found: set[str] = set()
    for name in ("labels", "judgments", "splits"):
        if workspace.tables.has(name):
            rows = workspace.tables.read(name).read(["query_id", "query"])
            found.update(
                query
                for query_id, query in zip(*(column.to_pylist() for column in rows.columns), strict=True)
                if query_id not in subject.made_queries
            )
    return found


def note_scored(workspace: Workspace, store: VectorStore, subject: Subject) -> None:
    """The keys under which rerankers keep scores of these passages; only texts tell them, so it is done first."""
    if not any(workspace.vectors.glob(f"{TEACHERS}*")):
        return
    queries = people_queries(workspace, Subject(set()))
    for info in store.collections(every=True):
        collection = store.open(info.name)
        try:
            mine = [one.passage_id for one in collection.contents() if one.doc_id in subject.documents]
            texts = {embedded_text(point.title, point.text) for point in collection.fetch(mine)}
        finally:
            collection.close()
        subject.scored |= {pair_key(query, text) for query in queries for text in texts}
