"""Collections of the current passages, and those among which one may go live."""

from collections.abc import Mapping
from typing import Any

from domain_embed import cutover
from domain_embed.contracts.records import CollectionInfo
from domain_embed.defs.work import Work
from domain_embed.indexing.build import BuildReport
from domain_embed.promotion.champion import PromotionLog
from domain_embed.stores.workspace import BASE, CHECKPOINT_PREFIX, LIVE


def bring_up(work: Work, model: str, model_settings: Mapping[str, Any]) -> BuildReport:
    """The collection of a model and the current passages, by the settings of this work; see `cutover.bring_up`."""
    return cutover.bring_up(work.workspace, work.settings, model, model_settings)


def current_collections(work: Work) -> dict[str, CollectionInfo]:
    """Of the base and the live model, by fingerprint, the collections of the current passages, built if need be.

    Where nothing is live, though a tuned model was, it is that one's, as long as its checkpoint is there.
    """
    store, live = work.workspace.vector_store, work.workspace.vector_store.alias(LIVE)
    infos = [store.open(name).info for name in (work.workspace.aliased(BASE), live) if name is not None]
    found = {info.fingerprint: bring_up(work, info.model, info.model_settings).info for info in infos}
    gone = PromotionLog(work.workspace.promotions).last() if live is None else None
    if gone is not None and (work.workspace.checkpoints / gone.fingerprint).is_dir():
        model = CHECKPOINT_PREFIX + gone.fingerprint
        again = bring_up(work, model, work.settings.model.model_dump(mode="json")).info
        found[again.fingerprint] = again
    return found
