"""Collections of the current passages, and those among which one may go live."""

from collections.abc import Mapping
from typing import Any

from domain_embed.contracts.records import CollectionInfo
from domain_embed.defs.work import Work
from domain_embed.indexing.build import BuildReport, build_collection
from domain_embed.settings import ModelSettings
from domain_embed.stores.workspace import BASE, LIVE


def bring_up(work: Work, model: str, model_settings: Mapping[str, Any]) -> BuildReport:
    """The collection of a model and the current passages, made unless it is there; only new texts are embedded."""
    encoder = work.workspace.encoder(model, ModelSettings(**model_settings))
    return build_collection(
        work.workspace.vector_store, encoder, model, work.workspace.tables.read("passages"), work.settings.sparse,
        work.workspace.vector_cache(encoder.document_fingerprint), model_settings,
        work.settings.chunking.model_dump(mode="json"), work.settings.index,
    )  # fmt: skip


def current_collections(work: Work) -> dict[str, CollectionInfo]:
    """The collections of the current passages by model fingerprint; the live model's is built first if need be."""
    workspace, store = work.workspace, work.workspace.vector_store
    base, live = store.open(workspace.aliased(BASE)).info, store.alias(LIVE)
    if live is not None and (info := store.open(live).info).passages_version != base.passages_version:
        bring_up(work, info.model, info.model_settings)
    return {info.fingerprint: info for info in store.collections() if info.passages_version == base.passages_version}
