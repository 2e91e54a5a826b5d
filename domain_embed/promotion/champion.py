"""What is live: promotion, refusal, refresh and rollback of the one alias that queries use."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from domain_embed.contracts.errors import PromotionRefusedError
from domain_embed.contracts.ports import VectorStore
from domain_embed.contracts.records import CollectionInfo, Served, Verdict
from domain_embed.files import alone, keep_file

Action = Literal["promoted", "refreshed", "kept", "rolled back"]


@dataclass(frozen=True)
class Move:
    """One decision about what is live, from one collection to another, or to another way to ask the same one.

    `shadow` holds what a comparison of both on real queries found before, where one was made. `source_served` and
    `served` say how each is asked; None leaves that to the settings.
    """

    action: Action
    source: str
    target: str
    source_fingerprint: str
    fingerprint: str
    reason: str
    at: str
    shadow: Mapping[str, float] | None = None
    source_served: Served | None = None
    served: Served | None = None

    @property
    def changes_what_answers(self) -> bool:
        """Whether another model answers, or the same one asked in another way."""
        return (self.source_fingerprint, self.source_served) != (self.fingerprint, self.served)


Record: TypeAlias = Callable[[Move], None]
"""Told of a move before it happens; when it raises, nothing moves."""


def _unrecorded(move: Move) -> None:
    """For callers that keep no record beside the log."""


class PromotionLog:
    """Every move of the alias, kept in a file before it happens. The alias itself is the truth."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Move]:
        """All moves, oldest first."""
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        whole, _, _ = text.rpartition("\n")  # what follows was cut off as it was written, and did not happen
        return [_move(json.loads(line)) for line in whole.splitlines() if line]

    def last(self) -> Move | None:
        """The newest move; None where there was none."""
        return next(reversed(self.read()), None)

    def served(self, live: str | None) -> Served | None:
        """How the collection that is live is asked; None where no move said so. It moves together with the alias."""
        return next((move.served for move in reversed(self.read()) if move.target == live), None)

    def append(self, move: Move) -> None:
        """Raises StoreError when it cannot be written; the alias must then stay."""
        kept = "".join(json.dumps(asdict(one)) + "\n" for one in (*self.read(), move))
        keep_file(self._path, kept)

    def alone(self) -> AbstractContextManager[None]:
        """Of two who decide at once, the second sees what the first has done."""
        return alone(self._path)

    def held_back(self) -> set[str]:
        """Models a person rolled back from, unless promoted again since."""
        held: set[str] = set()
        for move in self.read():
            if move.action == "rolled back" and move.source_fingerprint != move.fingerprint:
                held.add(move.source_fingerprint)
            elif move.action == "promoted":
                held.discard(move.fingerprint)
        return held

    def rolled_back_from(self, fingerprint: str, served: Served) -> bool:
        """Whether a person rolled back from this model asked in this way, and nobody promoted that again since."""
        for move in reversed(self.read()):
            if move.action == "rolled back" and (move.source_fingerprint, move.source_served) == (fingerprint, served):
                return True
            if move.action == "promoted" and (move.fingerprint, move.served) == (fingerprint, served):
                return False
        return False


def _move(stored: dict[str, Any]) -> Move:
    ways = {name: Served(**stored[name]) for name in ("source_served", "served") if stored.get(name)}
    return Move(**{**stored, **ways})


Serves: TypeAlias = Callable[[CollectionInfo], Served | None]
"""How a collection would be asked; None leaves that to the settings."""


def _as_settings_say(info: CollectionInfo) -> None:
    """For callers whose settings name the way to serve."""


def settle(
    store: VectorStore, log: PromotionLog, alias: str, verdict: Verdict, challenger: CollectionInfo,
    current: Mapping[str, CollectionInfo], base: str, require_parity: Callable[[CollectionInfo], None],
    *, override_hold: bool = False, shadow: Mapping[str, float] | None = None, record: Record = _unrecorded,
    serves: Serves = _as_settings_say,
) -> Move:  # fmt: skip
    """Decides what is live and moves the alias there, after the target's parity is proven.

    A challenger goes live when its verdict says so and nobody rolled back from it. Otherwise the live model stays, also
    where its collection was gone and is among `current` again, or the base model where nothing was live yet, in its
    collection of the current passages. The base model is then asked as `serves` says, unless a person rolled back from
    that; a tuned one is asked as it went live, if that was said.

    Args:
        store: Holds collections and alias.
        log: Gets the move, before it happens.
        alias: The live alias.
        verdict: On the challenger.
        challenger: The collection of the tuned model.
        current: For each model that may be live, by fingerprint, its collection of the current passages.
        base: Fingerprint of the base model.
        require_parity: Raises when a collection does not hold what it says.
        override_hold: Promote even a model that was rolled back.
        shadow: What comparing live and challenger on real queries found.
        record: Told of a promotion before it happens.
        serves: How the challenger and the base model would be asked.
    """
    with log.alone():
        live = store.alias(alias)
        infos = {info.name: info for info in store.collections()}
        live_fingerprint = infos[live].fingerprint if live in infos else None
        served = log.served(live)
        gone = log.last() if live is None else None
        made_again = gone is not None and gone.fingerprint != base and gone.fingerprint in current
        if gone is not None and made_again:
            live_fingerprint, served = gone.fingerprint, gone.served
        held = challenger.fingerprint in log.held_back() and not override_hold
        if verdict.promote and not held and challenger.fingerprint != live_fingerprint:
            target, reason, way = challenger, verdict.reasons[0], serves(challenger)
            action: Action = "promoted"
        else:
            target = current[live_fingerprint or base]
            chosen = serves(target) if target.fingerprint == base or served is None else None
            way = chosen if chosen is not None and not log.rolled_back_from(target.fingerprint, chosen) else served
            action = "kept" if target.name == live else "refreshed"
            if live is not None and way != served:
                action = "promoted"
            reason = _reason_to_stay(verdict, held, live_fingerprint, challenger.fingerprint)
            if made_again:
                reason = f"model {live_fingerprint} was live, and its collection is there again"
            if target.fingerprint == base and verdict.untuned and (live is None or way != served):
                reason = verdict.untuned
        move = Move(
            action=action,
            # Where nothing was live, the base model is what would have served, and what a rollback returns to.
            source=live or current[base].name,
            target=target.name,
            source_fingerprint=live_fingerprint or base,
            fingerprint=target.fingerprint,
            reason=reason,
            at=_now(),
            shadow=shadow if action == "promoted" else None,
            source_served=served if live is not None else serves(current[base]),
            served=way,
        )
        if (target.name, way) != (live, served):
            require_parity(target)
            _make(store, log, alias, move, record)
        return move


def refresh(
    store: VectorStore, log: PromotionLog, alias: str, target: CollectionInfo,
    require_parity: Callable[[CollectionInfo], None], *, reason: str,
) -> Move | None:  # fmt: skip
    """Moves the alias to another collection of the live model, after its parity is proven.

    None, and nothing moves, where it is there already, or where another model has gone live meanwhile.
    """
    with log.alone():
        live = store.alias(alias)
        fingerprints = {info.name: info.fingerprint for info in store.collections()}
        if live is None or live == target.name or fingerprints.get(live) != target.fingerprint:
            return None
        require_parity(target)
        served = log.served(live)
        move = Move(
            "refreshed", live, target.name, target.fingerprint, target.fingerprint, reason, _now(),
            source_served=served, served=served,
        )  # fmt: skip
        _make(store, log, alias, move, _unrecorded)
        return move


def promote(
    store: VectorStore, log: PromotionLog, alias: str, verdict: Verdict, challenger: CollectionInfo,
    base: CollectionInfo, require_parity: Callable[[CollectionInfo], None], *, reason: str = "", force: bool = False,
    shadow: Mapping[str, float] | None = None, record: Record = _unrecorded, serves: Serves = _as_settings_say,
) -> Move:  # fmt: skip
    """Makes the challenger live because a person says so, asked as `serves` says; where it is live, nothing happens.

    `force` overrules the verdict and an earlier rollback, never a failed parity check. `record` is told of the move
    before it happens.

    Raises:
        PromotionRefusedError: The verdict is against it, or it was rolled back, and `force` is not set.
    """
    with log.alone():
        live = store.alias(alias)
        infos = {info.name: info for info in store.collections()}
        held = challenger.fingerprint in log.held_back()
        if not force and live != challenger.name:
            if not verdict.promote:
                raise PromotionRefusedError(f"the verdict is against it: {verdict.reasons[0]}", "--force overrules it")
            if held:
                raise PromotionRefusedError(f"model {challenger.fingerprint} was rolled back", "--force overrules that")
        move = Move(
            action="kept" if live == challenger.name else "promoted",
            source=live or base.name,
            target=challenger.name,
            source_fingerprint=infos[live].fingerprint if live in infos else base.fingerprint,
            fingerprint=challenger.fingerprint,
            reason=reason or ("asked for, against the verdict" if not verdict.promote else verdict.reasons[0]),
            at=_now(),
            shadow=shadow,
            source_served=log.served(live) if live is not None else serves(base),
            served=log.served(live) if live == challenger.name else serves(challenger),
        )
        if live != challenger.name:
            require_parity(challenger)
            _make(store, log, alias, move, record)
        return move


def roll_back(
    store: VectorStore, log: PromotionLog, alias: str, *, align: Callable[[CollectionInfo], None] = lambda info: None,
    record: Record = _unrecorded,
) -> Move:  # fmt: skip
    """Puts back what was live before, model, collection and the way it was asked; repeated calls go further back.

    `align` is called before the alias moves, and takes out of the old collection what may no longer be served: back
    goes the model, not the past of the corpus. `record` is told of the move before it happens.

    Raises PromotionRefusedError when there is no earlier model, or its collection is gone.
    """
    with log.alone():
        live = store.alias(alias)
        infos = {info.name: info for info in store.collections()}
        before = _previous(log.read(), live)
        if live is None or before is None:
            raise PromotionRefusedError("there is no earlier model to roll back to")
        previous, way = before
        if previous not in infos:
            raise PromotionRefusedError(f"the earlier collection {previous} is gone")
        move = Move(
            action="rolled back",
            source=live,
            target=previous,
            source_fingerprint=infos[live].fingerprint,
            fingerprint=infos[previous].fingerprint,
            reason="asked for",
            at=_now(),
            source_served=log.served(live),
            served=way,
        )
        align(infos[previous])
        _make(store, log, alias, move, record)
        return move


def rollback_target(log: PromotionLog, live: str | None) -> str | None:
    """The collection a rollback would put back; None when there is none."""
    before = _previous(log.read(), live)
    return before[0] if before else None


def _previous(moves: Sequence[Move], live: str | None) -> tuple[str, Served | None] | None:
    """What was live before what answers now came; a move that was logged but never made is no step."""
    place = live, next((move.served for move in reversed(moves) if move.target == live), None)
    for move in reversed(moves):
        if (move.target, move.served) != place or move.action == "rolled back":
            continue
        if move.changes_what_answers:
            return move.source, move.source_served
        place = move.source, move.source_served
    return None


def _make(store: VectorStore, log: PromotionLog, alias: str, move: Move, record: Record) -> None:
    """Moves the alias, once that is written down."""
    if move.action != "refreshed":
        record(move)
    log.append(move)  # which says how the target is asked: where only that changes, this is the move
    if move.target != move.source or store.alias(alias) is None:
        store.set_alias(alias, move.target)


def _reason_to_stay(verdict: Verdict, held: bool, live: str | None, challenger: str) -> str:
    if verdict.promote and held:
        return f"model {challenger} was rolled back; run with --force to promote it again"
    if live == challenger:
        return f"model {challenger} is live already"
    stays = "the base model serves" if live is None else f"model {live} stays live"
    return f"{stays}: {verdict.reasons[0]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
