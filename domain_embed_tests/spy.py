"""A spy over the stores: which artifacts the body of each step opens, to be compared with what the step declares."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain_embed import cutover
from domain_embed.defs import assets
from domain_embed.defs.work import AssetRecipe
from domain_embed.settings import DomainSettings
from domain_embed.stores import workspace as workspaces
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.tables import TableStore
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

TABLES = {
    **{name: (name,) for name in ("documents", "passages", "labels", "synthetic_queries", "splits", "hard_negatives")},
    **dict.fromkeys(("judgments", "judged_negatives", "undecided"), ("judgments",)),
    **dict.fromkeys(("findings", "review_queue"), ("quality_report",)),
    "unjudged": ("eval_report",),
}
"""Who makes each table."""
RECORDS = {
    "quality": ("quality_report",), "diagnosis": ("diagnosis",), "training_decision": ("training_decision",),
    "saturation": ("learning_curve",), "latest_report": ("eval_report",), "checkpoint_record": ("checkpoint",),
    "reranker_record": ("reranker",), "reranker": ("reranker",), "served": ("served_quality",),
}  # fmt: skip
"""Who makes what these methods of a workspace read."""
STATES = {"kept_base": ("checkpoint",), "newest_checkpoint": ("checkpoint",)}
"""Who makes what these properties of a workspace read."""
ALIASES = {BASE: ("base_collection",), CHALLENGER: ("collection",), LIVE: ("champion", "live_collection", "live")}
"""Who moves each alias, or tells of it: one of them is enough."""


@dataclass
class Spy:
    """What each step opened: by step, the artifacts, each with those of whom one has to be declared."""

    opened: defaultdict[str, dict[str, tuple[str, ...]]] = field(default_factory=lambda: defaultdict(dict))
    _step: str | None = None

    def see(self, artifact: str, owners: tuple[str, ...]) -> None:
        """That the step at work opens something."""
        if self._step is not None:
            self.opened[self._step][artifact] = owners

    def undeclared(
        self, recipes: Iterable[AssetRecipe], settings: DomainSettings, allowed: Mapping[str, Iterable[str]]
    ) -> dict[str, set[str]]:
        """By step what it opened and neither declares nor makes itself, but for what is allowed."""
        found = {}
        for recipe in recipes:
            known = {recipe.name, *recipe.reads(settings)}
            opened = {one for one, owners in self.opened[recipe.name].items() if known.isdisjoint(owners)}
            if opened := opened.difference(allowed.get(recipe.name, ())):
                found[recipe.name] = opened
        return found

    @contextmanager
    def at(self, step: str | None) -> Iterator[None]:
        """What is opened meanwhile is opened by this step; by None: by nobody."""
        before, self._step = self._step, step
        try:
            yield
        finally:
            self._step = before


@contextmanager
def spied() -> Iterator[Spy]:
    """Sees what every step opens meanwhile.

    Two things are not the step's own: taking out of a collection what was deleted or restricted, which is done by the
    documents of the moment whoever builds it, and the texts by which an encoder is timed.
    """
    spy = Spy()
    with pytest.MonkeyPatch.context() as patch:
        run, body_of = assets._run, assets._run.__name__
        patch.setattr(assets, body_of, lambda *given: _within(spy, given[4].name, run, *given))
        for module, name in ((cutover, "withhold_gone"), (workspaces, "_sample_texts")):
            original = getattr(module, name)
            patch.setattr(module, name, _unseen(spy, original))
        _watch(patch, spy, TableStore, "read", lambda store, name: TABLES.get(name) if _is_current(store) else None)
        _watch(patch, spy, EdgeStore, "alias", lambda store, name: ALIASES.get(name))
        for name, owners in RECORDS.items():
            _watch(patch, spy, Workspace, name, lambda *given, owners=owners: owners)
        for name, owners in STATES.items():
            _watch_property(patch, spy, name, owners)
        yield spy


def _is_current(store: TableStore) -> bool:
    """Whether these are the domain's tables, and not what a model knew when it was trained."""
    return store._folder.name == "tables"


def _within(spy: Spy, step: str | None, function: Callable[..., Any], *given: Any, **options: Any) -> Any:
    with spy.at(step):
        return function(*given, **options)


def _unseen(spy: Spy, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given, **options: _within(spy, None, function, *given, **options)


def _watch(
    patch: pytest.MonkeyPatch, spy: Spy, owner: type, name: str, makers: Callable[..., tuple[str, ...] | None]
) -> None:
    original = getattr(owner, name)

    def watched(self: Any, *given: Any, **options: Any) -> Any:
        if owners := makers(self, *given):
            spy.see(str(given[0]) if owner is not Workspace and given else name, owners)
        return original(self, *given, **options)

    patch.setattr(owner, name, watched)


def _watch_property(patch: pytest.MonkeyPatch, spy: Spy, name: str, owners: tuple[str, ...]) -> None:
    original = getattr(Workspace, name)

    def watched(self: Workspace) -> Any:
        spy.see(name, owners)
        return original.fget(self)

    patch.setattr(Workspace, name, property(watched))
