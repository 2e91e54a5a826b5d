"""The collections among which one may go live."""

from domain_embed.contracts.records import CollectionInfo
from domain_embed.defs.work import Work
from domain_embed.indexing.build import build_collection
from domain_embed.stores.workspace import BASE, LIVE


def current_collections(work: Work) -> dict[str, CollectionInfo]:
    """The collections of the current passages by model fingerprint; the live model's is built first if need be."""
    workspace, store = work.workspace, work.workspace.vector_store
    base, live = store.open(workspace.aliased(BASE)).info, store.alias(LIVE)
    if live is not None and store.open(live).info.passages_version != base.passages_version:
        info = store.open(live).info
        encoder = workspace.encoder_of(info)
        build_collection(
            store, encoder, info.model, workspace.tables.read("passages"), work.settings.sparse,
            workspace.vector_cache(encoder.document_fingerprint), info.model_settings,
            work.settings.chunking.model_dump(mode="json"), work.settings.index,
        )  # fmt: skip
    return {info.fingerprint: info for info in store.collections() if info.passages_version == base.passages_version}
