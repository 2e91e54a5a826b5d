"""Who still holds the texts: looked for in everything that can be decoded, and in the bytes of what cannot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from domain_embed.contracts.errors import DomainEmbedError
from domain_embed.contracts.ports import Collection, VectorStore
from domain_embed.corpus.erased import ERASED_FILE
from domain_embed.corpus.lines import ROW_SUFFIXES
from domain_embed.corpus.sources import find_files
from domain_embed.defs.runs import dagster_home
from domain_embed.erasure.databases import database_strings, is_database
from domain_embed.erasure.formats import WALKERS, strings_of
from domain_embed.erasure.outcome import Unreached
from domain_embed.erasure.places import scrub_file, scrubbing
from domain_embed.erasure.run_logs import held_by_dagster, is_remote, local_database
from domain_embed.erasure.subject import UNFINISHED_FILE, Subject, source_documents
from domain_embed.judgments.sheets import COLUMNS
from domain_embed.judgments.sources import source_paths
from domain_embed.settings import SETTINGS_FILE, DomainSettings
from domain_embed.stores.tracking import Tracking
from domain_embed.stores.workspace import STORE_FOLDER, Workspace

WEIGHTS = (".safetensors", ".pt", ".bin", ".onnx")
"""What models have learned is no text; models that knew the documents are named."""
VOCABULARY = ("tokenizer.json", "vocab.txt")
"""Of models: single words, those of the base model."""
PAGE_POINTS = 1024
LINE_SUFFIXES = (".jsonl", ".csv", ".tsv", ".md", ".txt", ".html", ".htm", ".json")


def look(workspace: Workspace, store: VectorStore, subject: Subject, tracking: Tracking) -> list[str]:
    """Every file of the store, and every collection, that still holds a trace of the documents."""
    found = [str(path) for path in _stored_files(workspace, tracking) if _holds(path, subject)]
    for info in store.collections(every=True):
        collection = store.open(info.name)
        try:
            ids = [one.passage_id for one in collection.contents()]
            if any(map(subject.owns, ids)) or _any_point_holds(collection, ids, subject):
                found.append(f"collection {info.name}")
        finally:
            collection.close()
    runs = held_by_dagster(workspace.environment, workspace.domain, scrubbing(subject))
    return [*found, *(f"Dagster run {run} (`dagster run delete {run}` removes it)" for run in runs)]


def _any_point_holds(collection: Collection, ids: Sequence[str], subject: Subject) -> bool:
    pages = (collection.fetch(ids[start : start + PAGE_POINTS]) for start in range(0, len(ids), PAGE_POINTS))
    return any(subject.traces.held_by(f"{point.title}\n{point.text}") for page in pages for point in page)


def _stored_files(workspace: Workspace, tracking: Tracking) -> Iterator[Path]:
    for folder in (workspace.root, artifact_folder(workspace), dagster_home(workspace.environment)):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in WEIGHTS and path.name not in (*VOCABULARY, UNFINISHED_FILE):
                yield path
    local = local_database(tracking)
    if local is not None and local.exists():
        yield local


def artifact_folder(workspace: Workspace) -> Path:
    """Where MLflow without a server keeps the files of the domain's runs."""
    return workspace.environment.home / STORE_FOLDER / "mlflow" / "artifacts" / workspace.domain


def _holds(path: Path, subject: Subject) -> bool:
    texts = database_strings(path) if is_database(path) else strings_of(path)
    return any(map(subject.traces.held_by, texts))


def scrub_own_files(workspace: Workspace, subject: Subject, *, dry: bool) -> Iterator[str]:
    """Replaces what quotes the documents in what this product wrote into the domain's folder: review sheets."""
    for path in _domain_files(workspace):
        if _is_sheet(path) and scrub_file(path, scrubbing(subject), dry=dry):
            yield str(path)


def _domain_files(workspace: Workspace) -> Iterator[Path]:
    for path in sorted(workspace.folder.rglob("*")):
        if path.is_file() and path.name not in (SETTINGS_FILE, ERASED_FILE) and path.suffix not in WEIGHTS:
            yield path


def _is_sheet(path: Path) -> bool:
    """Whether a file has the columns of a review sheet."""
    if path.suffix.lower() not in (".csv", ".xlsx"):
        return False
    seen: set[str] = set()

    def note(text: str) -> str:
        seen.add(text)
        return text

    try:
        WALKERS[path.suffix.lower()](path.read_bytes(), note)
    except Exception:  # noqa: BLE001  # not ours, if it cannot even be read
        return False
    return set(COLUMNS) <= seen


def outside(
    workspace: Workspace, settings: DomainSettings | None, subject: Subject, tracking: Tracking
) -> list[Unreached]:
    """What holds the documents, or has learned from them, and is not this product's to change."""
    return [
        *_sources(workspace, settings, subject),
        *_users_files(workspace, settings, subject),
        *_models(workspace, subject),
        *copies(workspace),
        *([Unreached("segments of Qdrant", "the server's disk", "found no more; the bytes go when it optimizes them")]
          if workspace.environment.qdrant_url else []),
        *([Unreached("MLflow's database", tracking.ui, "its parameters cannot be changed: see them there")]
          if is_remote(tracking) else []),
    ]  # fmt: skip


def _sources(workspace: Workspace, settings: DomainSettings | None, subject: Subject) -> list[Unreached]:
    """The sources that still have a document, by file and line; it does not come back from there."""
    return [
        Unreached("a source", _place(found.path, found.line), f"remove document {found.doc_id!r} there")
        for found in source_documents(workspace, settings)
        if found.doc_id in subject.documents
    ]


def _users_files(workspace: Workspace, settings: DomainSettings | None, subject: Subject) -> list[Unreached]:
    """Other files of the user's that say what the documents say."""
    named = {(found.path, found.line) for found in source_documents(workspace, settings)
             if found.doc_id in subject.documents}  # fmt: skip
    files = dict.fromkeys([*_domain_files(workspace), *_files_elsewhere(workspace, settings)])
    return [
        Unreached("a file of yours", _place(path, line), "it says the same: see whether it may")
        for path in files
        for line in _lines_that_hold(path, subject)
        if (path, line) not in named and (path, None) not in named
    ]


def _files_elsewhere(workspace: Workspace, settings: DomainSettings | None) -> Iterator[Path]:
    """Documents and labels that lie outside the domain's folder."""
    if settings is None:
        return
    labels = [path for source in settings.judgments.sources for path in source_paths(source)]
    for pattern in (*settings.corpus.paths, *labels):
        try:
            yield from (path for path in find_files(workspace.folder, [pattern]) if path.exists())
        except DomainEmbedError:
            continue


def _lines_that_hold(path: Path, subject: Subject) -> list[int | None]:
    """The lines of a text that hold a trace; [None] where only the whole file does."""
    if path.suffix.lower() in LINE_SUFFIXES:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found: list[int | None] = [n for n, line in enumerate(lines, start=1) if subject.traces.held_by(line)]
        if found or path.suffix.lower() in ROW_SUFFIXES:
            return found
    return [None] if _holds(path, subject) else []


def _place(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}, line {line}"


def _models(workspace: Workspace, subject: Subject) -> list[Unreached]:
    """Models that were trained while the documents were there: what weights have learned cannot be taken out."""
    how = "train again without it: `domain-embed run`; prune then removes collections of the old model"
    known = set(workspace.references())
    found = [
        Unreached("a model that knew it", str(path), how)
        for path in _trained(workspace.checkpoints)
        if path.name in subject.models or path.name not in known
    ]
    return found + [Unreached("a reranker that may have known it", str(path), how)
                    for path in _trained(workspace.rerankers)]  # fmt: skip


def _trained(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def copies(workspace: Workspace) -> list[Unreached]:
    """Copies that are not known here."""
    environment = workspace.environment
    found = [Unreached("backups", "wherever you keep them", "they cannot be known here")]
    if environment.storage:
        found.append(Unreached("older versions in object storage", "the bucket, if it keeps versions", "delete them"))
        found.append(Unreached("working copies", "other machines with this storage", "erase there, too"))
    if environment.qdrant_url:
        found.append(Unreached("snapshots of Qdrant", "the server, if it makes any", "delete them"))
    return found
