"""What is live: promotion, refusal, refresh and rollback of the one alias that queries use."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from filelock import FileLock

from domain_embed.contracts.errors import PromotionRefusedError, StoreError
from domain_embed.contracts.ports import VectorStore
from domain_embed.contracts.records import CollectionInfo, Verdict
from domain_embed.files import PRIVATE_FILE, keep_file, private_folder

Action = Literal["promoted", "refreshed", "kept", "rolled back"]


@dataclass(frozen=True)
class Move:
    """One decision about the live alias, from one collection to another.

    `shadow` holds what a comparison of both on real queries found before, where one was made.
    """

    action: Action
    source: str
    target: str
    source_fingerprint: str
    fingerprint: str
    reason: str
    at: str
    shadow: Mapping[str, float] | None = None


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
        return [Move(**json.loads(line)) for line in whole.splitlines() if line]

    def append(self, move: Move) -> None:
        """Raises StoreError when it cannot be written; the alias must then stay."""
        kept = "".join(json.dumps(asdict(one)) + "\n" for one in (*self.read(), move))
        keep_file(self._path, kept)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Of two who decide at once, the second sees what the first has done."""
        try:
            private_folder(self._path.parent)
            lock = FileLock(self._path.with_suffix(".lock"), mode=PRIVATE_FILE)
            lock.acquire()
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error}", "free space or fix permissions") from error
        try:
            yield
        finally:
            lock.release()

    def held_back(self) -> set[str]:
        """Models a person rolled back from, unless promoted again since."""
        held: set[str] = set()
        for move in self.read():
            if move.action == "rolled back":
                held.add(move.source_fingerprint)
            elif move.action == "promoted":
                held.discard(move.fingerprint)
        return held


def settle(
    store: VectorStore, log: PromotionLog, alias: str, verdict: Verdict, challenger: CollectionInfo,
    current: Mapping[str, CollectionInfo], base: str, require_parity: Callable[[CollectionInfo], None],
    *, override_hold: bool = False, shadow: Mapping[str, float] | None = None, record: Record = _unrecorded,
) -> Move:  # fmt: skip
    """Decides what is live and moves the alias there, after the target's parity is proven.

    A challenger goes live when its verdict says so and nobody rolled back from it. Otherwise the live model stays, or
    the base model where nothing was live yet, in its collection of the current passages.

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
    """
    with log.alone():
        live = store.alias(alias)
        infos = {info.name: info for info in store.collections()}
        live_fingerprint = infos[live].fingerprint if live in infos else None
        held = challenger.fingerprint in log.held_back() and not override_hold
        if verdict.promote and not held and challenger.fingerprint != live_fingerprint:
            target, reason = challenger, verdict.reasons[0]
            action: Action = "promoted"
        else:
            target = current[live_fingerprint or base]
            action = "kept" if target.name == live else "refreshed"
            reason = _reason_to_stay(verdict, held, live_fingerprint, challenger.fingerprint)
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
        )
        if target.name != live:
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
        move = Move("refreshed", live, target.name, target.fingerprint, target.fingerprint, reason, _now())
        _make(store, log, alias, move, _unrecorded)
        return move


def promote(
    store: VectorStore, log: PromotionLog, alias: str, verdict: Verdict, challenger: CollectionInfo,
    base: CollectionInfo, require_parity: Callable[[CollectionInfo], None], *, reason: str = "", force: bool = False,
    shadow: Mapping[str, float] | None = None, record: Record = _unrecorded,
) -> Move:  # fmt: skip
    """Makes the challenger live because a person says so; where it is live already, nothing happens.

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
        )
        if live != challenger.name:
            require_parity(challenger)
            _make(store, log, alias, move, record)
        return move


def roll_back(
    store: VectorStore, log: PromotionLog, alias: str, *, align: Callable[[CollectionInfo], None] = lambda info: None,
    record: Record = _unrecorded,
) -> Move:  # fmt: skip
    """Puts the previous live model back, in the collection it had; repeated calls go further back.

    `align` is called before the alias moves, and takes out of the old collection what may no longer be served: back
    goes the model, not the past of the corpus. `record` is told of the move before it happens.

    Raises PromotionRefusedError when there is no earlier model, or its collection is gone.
    """
    with log.alone():
        live = store.alias(alias)
        infos = {info.name: info for info in store.collections()}
        previous = _previous_model(log.read(), live)
        if live is None or previous is None:
            raise PromotionRefusedError("there is no earlier model to roll back to")
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
        )
        align(infos[previous])
        _make(store, log, alias, move, record)
        return move


def rollback_target(log: PromotionLog, live: str | None) -> str | None:
    """The collection a rollback would put back; None when there is none."""
    return _previous_model(log.read(), live)


def _previous_model(moves: Sequence[Move], live: str | None) -> str | None:
    """The collection that was live before the live model came; a move that was logged but never made is no step."""
    place = live
    for move in reversed(moves):
        if move.target != place or move.action == "rolled back":
            continue
        if move.source_fingerprint != move.fingerprint:
            return move.source
        place = move.source
    return None


def _make(store: VectorStore, log: PromotionLog, alias: str, move: Move, record: Record) -> None:
    """Moves the alias, once that is written down."""
    if move.action != "refreshed":
        record(move)
    log.append(move)
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
