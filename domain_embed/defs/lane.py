"""Asset bodies of the lane from the corpus to all that serves, which nothing that can be red stops."""

import logging
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import DOCUMENTS
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.erased import ERASED_FILE, read_erased, without_erased
from domain_embed.corpus.sources import find_sources, named_roots
from domain_embed.cutover import prune_workspace, refresh_live, withhold_gone
from domain_embed.defs.work import Produced, Work, joint_version, record_table
from domain_embed.files import alone, private_folder
from domain_embed.indexing.withhold import Alignments, Withheld, withhold
from domain_embed.settings import CorpusSettings
from domain_embed.stores.tables import ROWS_PER_GROUP, ParquetTable, TableStore
from domain_embed.stores.workspace import LIVE

logger = logging.getLogger("domain_embed.run")

MOST_MISSING = 0.5
"""Of the documents known before: where more are missing beside rows that cannot be read, the corpus is taken for
damaged (half copied, cut off), and not for deleted."""


def withheld(work: Work) -> Produced:
    """What was deleted or restricted, taken out of every collection that serves or can, before anything is embedded."""
    found = withhold_gone(work.workspace)
    tables = work.workspace.tables
    rows = [{"collection": one.collection, "removed": one.removed, "other metadata": one.changed} for one in found]
    return Produced(
        joint_version(tables.read("documents").version, tables.read("passages").version),
        {"collections": record_table(rows)} if rows else {},
        {"removed": sum(one.removed for one in found), "changed": sum(one.changed for one in found)},
    )


def live_collection(work: Work) -> Produced:
    """The live model's collection of the current passages: the alias moves there without any evaluation, since the
    model stays. Nothing where nothing is live yet."""
    workspace = work.workspace
    move = refresh_live(workspace, work.settings)
    live = workspace.vector_store.alias(LIVE)
    if live is None:
        return Produced("none", {"live collection": "none yet"})
    info = workspace.vector_store.open(live).info
    pruned = prune_workspace(workspace, model=info.fingerprint) if move else []
    return Produced(
        live,
        {
            "live collection": live,
            "live model": info.fingerprint,
            "decision": move.action if move else "kept",
            **({"removed collections": ", ".join(one.name for one in pruned)} if pruned else {}),
        },
    )


def withhold_readable(work: Work) -> list[Withheld]:
    """What the lane can do while the corpus cannot be read as the settings ask.

    Rows and files that cannot be read are left out, and so are documents that share an id; what they held is hidden
    with what is gone: nobody can tell whether it may still be served. What cannot be told at all is left as it is:
    nothing is hidden when no document can be read, or a path names no file (a mount is away), or when more than
    MOST_MISSING of the documents are missing.
    """
    workspace = work.workspace
    if not workspace.tables.has("documents"):
        return []
    private_folder(workspace.root)
    with TemporaryDirectory(prefix=".readable-", dir=workspace.root) as scratch:
        try:
            readable = _readable_documents(work, Path(scratch))
        except InputError as error:
            logger.warning("nothing is withheld: %s", error)
            return []
        known = set(workspace.tables.read("documents").read(["doc_id"])["doc_id"].to_pylist())
        missing = known.difference(readable.read(["doc_id"])["doc_id"].to_pylist())
        if len(missing) > MOST_MISSING * len(known):
            logger.warning("nothing is withheld: %d of %d documents are missing", len(missing), len(known))
            return []
        with alone(workspace.alignments):
            return withhold(workspace.vector_store, None, Alignments(workspace.alignments), documents=readable)


def _readable_documents(work: Work, scratch: Path) -> ParquetTable:
    corpus = work.settings.corpus.model_copy(update={"bad_rows": "skip", "bad_files": "skip"})
    report, tables = ReadReport(), TableStore(scratch)
    read = tables.write("documents", corpus_documents(work, corpus, report, tell_repeated=True), DOCUMENTS)
    if not report.repeated:
        return read
    return tables.write("documents", _without(report.repeated, read.batches(ROWS_PER_GROUP)), DOCUMENTS)


def _without(doc_ids: Set[str], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    gone = pa.array(sorted(doc_ids))
    for batch in batches:
        yield batch.filter(pc.invert(pc.is_in(batch.column("doc_id"), value_set=gone)))


def corpus_documents(
    work: Work, corpus: CorpusSettings, report: ReadReport, *, tell_repeated: bool = False
) -> Iterator[pa.RecordBatch]:
    """The domain's documents as these settings read them, without those that were erased; see `read_documents`."""
    folder = work.workspace.folder
    sources = find_sources(folder, corpus.paths)
    files = [path for path in sources.files if path.name != ERASED_FILE]
    report.files = len(files)
    report.leave_out_files(sources.skipped, corpus.bad_files)
    found = read_documents(
        files, report, corpus, folder,
        roots=named_roots(folder, corpus.paths), groups_field=work.settings.access.groups_field,
        tell_repeated=tell_repeated,
    )  # fmt: skip
    yield from without_erased(found, read_erased(folder), report)
