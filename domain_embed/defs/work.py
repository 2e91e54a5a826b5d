"""What an asset body gets and gives: bodies stay free of Dagster's and MLflow's plumbing."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from domain_embed.contracts.notes import Note
from domain_embed.contracts.shown import markdown_text, visible
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import DomainSettings
from domain_embed.stores.tracking import AssetTracker, Tracking
from domain_embed.stores.workspace import Workspace

HIDDEN_ROWS = "hidden from everybody, because their groups cannot be read"
TEXT_ENTRIES = frozenset({HIDDEN_ROWS, "sample", "left out", "culprits", "waiting for review", "moved since last time"})
"""The names under which a body shows rows of its tables. Run logs are read by more people than the data, and kept for
longer: these entries are recorded only where the domain's settings say `samples: true`."""
SAMPLE_ROWS = 10
CELL_CHARACTERS = 160


@dataclass(frozen=True)
class Work:
    """One asset's work in one run. `settings` are those its code version was computed from.

    `promote_anyway` is a person's reason to promote the challenger although its verdict was negative.
    """

    workspace: Workspace
    settings: DomainSettings
    tracker: AssetTracker
    tracking: Tracking
    forced: bool
    promote_anyway: str | None = None

    def publish(self, page: Path, figures: Mapping[str, Any]) -> str:
        """Puts a report into MLflow and returns its address: the page, with the texts it shows, where the settings say
        `samples: true`, otherwise its figures and ids."""
        if self.settings.samples:
            return self.tracker.log_artifact(page)
        return self.tracker.log_json(page.with_suffix(".json").name, figures)

    def base_encoder(self) -> TorchEncoder:
        """The untouched base model."""
        return self.workspace.encoder(self.settings.model.base, self.settings.model)


@dataclass(frozen=True)
class Produced:
    """What a body made: the version of its content, and what to show of it. `metrics` also go to MLflow.

    `notes` are what a person should know although nothing failed: `run`, `plan` and the data quality page show them.
    No text of a passage or a query stands in them, nor in `metadata`, but under TEXT_ENTRIES.
    """

    version: str
    metadata: Mapping[str, dg.MetadataValue | str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class AssetRecipe:
    """One asset of the graph: its body, what it reads, and which settings sections govern it.

    Raise `revision` when the body's code changes what it makes from the same input.
    """

    body: Callable[[Work], Produced]
    deps: tuple[str, ...]
    group: str
    kinds: frozenset[str]
    sections: tuple[str, ...] = ()
    revision: int = 1
    deps_if: Mapping[str, Callable[[DomainSettings], bool]] = field(default_factory=dict)
    """What it reads only where the settings ask for it: otherwise a change there would make it run for nothing."""
    sections_if: Mapping[str, Callable[[DomainSettings], bool]] = field(default_factory=dict)
    """The same of settings sections."""

    accepts: Mapping[str, Callable[[Workspace], bool]] = field(default_factory=dict)
    """What it reads that earlier versions of it did not: whether a result made then, without it, still holds."""

    outdated: Callable[[Workspace, DomainSettings], str | None] = lambda workspace, settings: None
    """Why what it made no longer holds, though its inputs and its settings are the same; None where it does."""

    def reads(self, settings: DomainSettings) -> tuple[str, ...]:
        """The assets it depends on."""
        return (*self.deps, *(name for name, asked in self.deps_if.items() if asked(settings)))

    @property
    def name(self) -> str:
        """The asset's name: its body's."""
        return self.body.__name__

    def code_version(self, settings: DomainSettings) -> str:
        """Readable, so that a stale asset can say which section changed: `r1 mining:0a1b…`."""
        hashes = [f"{section}:{getattr(settings, section).version()}" for section in self.governing(settings)]
        return " ".join([f"r{self.revision}", *hashes])

    def governing(self, settings: DomainSettings) -> tuple[str, ...]:
        """The settings sections that decide what it makes."""
        return (*self.sections, *(name for name, asked in self.sections_if.items() if asked(settings)))

    def content(self, settings: DomainSettings) -> dict[str, Any]:
        """What the sections say that govern it, by name: kept with what was made, to tell later what has changed."""
        return {section: getattr(settings, section).content() for section in self.governing(settings)}


def recorded(metadata: Mapping[str, Any], *, samples: bool) -> dict[str, Any]:
    """What of an asset's metadata goes into the run log."""
    return {name: value for name, value in metadata.items() if samples or name not in TEXT_ENTRIES}


def joint_version(*parts: str) -> str:
    """One version of several contents."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]


def counted(reasons: Mapping[str, int]) -> str:
    """How often what was, in one line."""
    return ", ".join(f"{count:,} × {reason}" for reason, count in reasons.items()) or "nothing"


def sample_table(table: pa.Table, rows: int = SAMPLE_ROWS) -> dg.MetadataValue:
    """The first rows as a table in the UI, long cells cut."""
    return record_table(table.slice(0, rows).to_pylist())


def record_table(records: Sequence[Mapping[str, object]]) -> dg.MetadataValue:
    """Records as a table in the UI."""
    return dg.MetadataValue.table(
        [dg.TableRecord({key: _cell(value) for key, value in record.items()}) for record in records],
        schema=dg.TableSchema([dg.TableColumn(name, "string") for name in (records[0] if records else {"empty": ""})]),
    )


def bullets(texts: Iterable[str]) -> dg.MetadataValue:
    """Texts as a list in the UI, one point each, whatever they hold."""
    return dg.MetadataValue.md("\n".join(f"- {markdown_text(text)}" for text in texts))


def _cell(value: object) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else visible(str(value))
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"
