"""What an asset body gets and gives: bodies stay free of Dagster's and MLflow's plumbing."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
import pyarrow as pa

from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import DomainSettings
from domain_embed.stores.tracking import AssetTracker, Tracking
from domain_embed.stores.workspace import Workspace

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

    def base_encoder(self) -> TorchEncoder:
        """The untouched base model."""
        return self.workspace.encoder(self.settings.model.base, self.settings.model)


@dataclass(frozen=True)
class Produced:
    """What a body made: the version of its content, and what to show of it. `metrics` also go to MLflow."""

    version: str
    metadata: Mapping[str, dg.MetadataValue | str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stopped:
    """A body decided not to make anything, and why; what lies downstream is not made either, and nothing has failed."""

    reason: str


@dataclass(frozen=True)
class AssetRecipe:
    """One asset of the graph: its body, what it reads, and which settings sections govern it.

    Raise `revision` when the body's code changes what it makes from the same input. A body that `may_stop` may give
    Stopped instead of something made.
    """

    body: Callable[[Work], Produced | Stopped]
    deps: tuple[str, ...]
    group: str
    kinds: frozenset[str]
    sections: tuple[str, ...] = ()
    revision: int = 1
    may_stop: bool = False
    deps_if: Mapping[str, Callable[[DomainSettings], bool]] = field(default_factory=dict)
    """What it reads only where the settings ask for it: otherwise a change there would make it run for nothing."""

    def reads(self, settings: DomainSettings) -> tuple[str, ...]:
        """The assets it depends on."""
        return (*self.deps, *(name for name, asked in self.deps_if.items() if asked(settings)))

    @property
    def name(self) -> str:
        """The asset's name: its body's."""
        return self.body.__name__

    def code_version(self, settings: DomainSettings) -> str:
        """Readable, so that a stale asset can say which section changed: `r1 mining:0a1b…`."""
        hashes = [f"{section}:{getattr(settings, section).version()}" for section in self.sections]
        return " ".join([f"r{self.revision}", *hashes])


def joint_version(*parts: str) -> str:
    """One version of several contents."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]


def sample_table(table: pa.Table, rows: int = SAMPLE_ROWS) -> dg.MetadataValue:
    """The first rows as a table in the UI, long cells cut."""
    return record_table(table.slice(0, rows).to_pylist())


def record_table(records: Sequence[Mapping[str, object]]) -> dg.MetadataValue:
    """Records as a table in the UI."""
    return dg.MetadataValue.table(
        [dg.TableRecord({key: _cell(value) for key, value in record.items()}) for record in records],
        schema=dg.TableSchema([dg.TableColumn(name, "string") for name in (records[0] if records else {"empty": ""})]),
    )


def _cell(value: object) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"
