"""What steps see of the present that no step makes: observed as files are, so that the graph stays free of circles."""

import hashlib
import json
from dataclasses import asdict

from domain_embed.contracts.errors import NotReadyError, StoreUnavailableError
from domain_embed.contracts.records import Served
from domain_embed.promotion.champion import PromotionLog
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

BASE_IS_LIVE = "base"
"""Also where nothing is live: then it is the base model that a challenger has to beat."""


def live(workspace: Workspace, settings: DomainSettings) -> str | None:
    """The version of what a challenger has to beat: the live model and how it is asked.

    Where the challenger itself is live, that is what it has replaced: a report that made its challenger live is about
    the same as before. None where the store does not answer: then it is not known.
    """
    try:
        found = _incumbent(workspace)
    except StoreUnavailableError:
        return None
    if found is None:
        return BASE_IS_LIVE
    fingerprint, served = found
    asked = json.dumps(asdict(served) if served else None, sort_keys=True)
    return hashlib.sha256(f"{fingerprint}\x00{asked}".encode()).hexdigest()[:16]


def _incumbent(workspace: Workspace) -> tuple[str, Served | None] | None:
    """Fingerprint and way of the model that a challenger has to beat; None for the base model."""
    store, log = workspace.vector_store, PromotionLog(workspace.promotions)
    name = store.alias(LIVE)
    if name is None:
        return None
    fingerprints = {info.name: info.fingerprint for info in store.collections()}
    base, challenger = (fingerprints.get(store.alias(alias) or "") for alias in (BASE, CHALLENGER))
    fingerprint, served = fingerprints.get(name), log.served(name)
    if fingerprint is not None and fingerprint == challenger != base:
        arrival = next(
            (one for one in reversed(log.read()) if one.fingerprint == fingerprint != one.source_fingerprint), None
        )
        fingerprint, served = (arrival.source_fingerprint, arrival.source_served) if arrival else (None, None)
    return None if fingerprint in (None, base) else (str(fingerprint), served)


def learning_curve(workspace: Workspace, settings: DomainSettings) -> str:
    """The version of the learning curve of the present splits; "none" while nobody has measured one."""
    try:
        curve = workspace.saturation()
    except NotReadyError:
        curve = None
    if curve is None:
        return "none"
    return hashlib.sha256(json.dumps(curve["points"]).encode()).hexdigest()[:16]
