"""What a person should know about a domain as it is now: what its steps noted, and what settings and folders say."""

from collections import Counter
from collections.abc import Sequence

from domain_embed.contracts.notes import Note, left_out
from domain_embed.corpus.sources import find_sources, overlooked
from domain_embed.judgments.given_splits import note_on_splits
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import Workspace


def notes_of(workspace: Workspace, settings: DomainSettings) -> dict[str, tuple[Note, ...]]:
    """The notes by asset, only of assets that have some.

    They hold whether a step was made now, reused, or made before it could note anything: what can be seen without its
    work is looked at now. Raises InputError for a path in corpus.paths that does not exist.
    """
    names = dict.fromkeys(("documents", "labels", "judgments", "splits", *workspace.noted()))
    notes = {asset: notes_on(asset, workspace, settings) for asset in names}
    return {asset: found for asset, found in notes.items() if found}


def notes_on(asset: str, workspace: Workspace, settings: DomainSettings) -> tuple[Note, ...]:
    """The notes on one asset."""
    kept = workspace.notes(asset)
    match asset:
        case "documents":
            return _documents(workspace, settings, kept)
        case "splits":
            return (*_splits(workspace, settings), *kept)
        case _:
            return kept


def overlooked_files(workspace: Workspace, settings: DomainSettings) -> list[tuple[str, str]]:
    """What lies in the folders of the corpus and is neither read nor counted as skipped then, as (reason, name)."""
    paths = settings.corpus.paths
    return overlooked(workspace.folder, paths, find_sources(workspace.folder, paths).met)


def _documents(workspace: Workspace, settings: DomainSettings, kept: Sequence[Note]) -> tuple[Note, ...]:
    """What lies in the folders now and is not read, in one note with what was left out when they were read."""
    found = overlooked_files(workspace, settings)
    counts = Counter(reason for reason, _ in found)
    details = [f"{name}: {reason}" for reason, name in found]
    for note in kept:
        counts.update(note.counts)
        details += note.details
    return left_out("files and rows", counts, details)


def _splits(workspace: Workspace, settings: DomainSettings) -> tuple[Note, ...]:
    if not workspace.tables.has("judgments"):
        return ()
    note = note_on_splits(workspace.tables.read("judgments").read(["split", "train_only"]), settings.splits)
    return () if note is None else (note,)
