"""What is stale and why, from the instance's events alone.

Staleness is direct: an asset is stale when its own code version, or the content of something it reads, is not what its
last materialization recorded. What lies downstream of it may run again, and does so only if content really changes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import dagster as dg

from domain_embed.settings import DomainSettings

CODE_VERSION_TAG = "dagster/code_version"
DATA_VERSION_TAG = "dagster/data_version"
INPUT_VERSION_TAG = "dagster/input_data_version/"

CODE = "code"
SETTINGS = "settings"
"""In the metadata of a materialization: the content of every settings section that governed it, by name."""

NEVER_SEEN = "INITIAL"
"""What Dagster records of an input that had no version yet."""

State = Literal["missing", "stale", "fresh"]


@dataclass(frozen=True)
class Status:
    """Whether an asset's stored result still holds, and in words why not."""

    state: State
    causes: tuple[str, ...] = ()


def input_tag(key: dg.AssetKey) -> str:
    """The tag under which a materialization records the version of one input."""
    return INPUT_VERSION_TAG + key.to_user_string()


def last_materialization(instance: dg.DagsterInstance, key: dg.AssetKey) -> dg.AssetMaterialization | None:
    """The newest materialization of an asset."""
    event = instance.get_latest_materialization_event(key)
    return event.asset_materialization if event else None


def last_materializations(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]
) -> dict[dg.AssetKey, dg.AssetMaterialization]:
    """The newest materialization of each asset that has one, in one question to the database."""
    entries = [record.asset_entry for record in instance.get_asset_records(list(keys))]
    return {
        entry.asset_key: entry.last_materialization.asset_materialization
        for entry in entries
        if entry.last_materialization is not None and entry.last_materialization.asset_materialization is not None
    }


def current_versions(instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]) -> dict[dg.AssetKey, str | None]:
    """The version of the newest content of each asset or source; None when there is none yet."""
    found = last_materializations(instance, keys)
    return {key: _data_version(found.get(key)) for key in keys}


def data_versions(events: Mapping[dg.AssetKey, dg.AssetMaterialization]) -> dict[dg.AssetKey, str | None]:
    """The version that each materialization recorded of its content."""
    return {key: _data_version(event) for key, event in events.items()}


def _data_version(event: dg.AssetMaterialization | None) -> str | None:
    return (event.tags or {}).get(DATA_VERSION_TAG) if event else None


def observe(instance: dg.DagsterInstance, versions: Mapping[dg.AssetKey, str]) -> None:
    """Records the versions of sources, of those where it is news."""
    known = current_versions(instance, list(versions))
    for key, version in versions.items():
        if known[key] != version:
            instance.report_runless_asset_event(source_event(key, version))


def source_event(key: dg.AssetKey, version: str) -> dg.AssetMaterialization:
    """That a source has this version now.

    As a materialization: Dagster's own staleness takes no notice of an observation of an asset that has no observation
    function, and its UI would call what reads the source stale.
    """
    return dg.AssetMaterialization(key, tags={DATA_VERSION_TAG: version})


def statuses(
    specs: Sequence[dg.AssetSpec], events: Mapping[dg.AssetKey, dg.AssetMaterialization], settings: DomainSettings
) -> dict[dg.AssetKey, Status]:
    """The status of every asset, by the newest materializations of all assets and sources that have one."""
    versions = data_versions(events)
    return {spec.key: asset_status(spec, events.get(spec.key), versions, settings) for spec in specs}


def with_accepted(
    latest: dg.AssetMaterialization | None, versions: Mapping[dg.AssetKey, str | None],
    accepts: Mapping[dg.AssetKey, Callable[[], bool]],
) -> dg.AssetMaterialization | None:  # fmt: skip
    """The materialization as if it had recorded inputs that were not there when it was made, where that is accepted.

    An upgrade that draws an edge, or a forced run without one, would otherwise make stale what still holds.
    """
    if latest is None:
        return None
    tags = dict(latest.tags or {})
    for key, accepted in accepts.items():
        version = versions.get(key)
        if version is not None and tags.get(input_tag(key), NEVER_SEEN) == NEVER_SEEN and accepted():
            tags[input_tag(key)] = version
    return latest if tags == latest.tags else latest._replace(tags=tags)


def recorded_input(latest: dg.AssetMaterialization, key: dg.AssetKey) -> str | None:
    """The version of an input that was read; None where there was none."""
    version = (latest.tags or {}).get(input_tag(key))
    return None if version == NEVER_SEEN else version


def asset_status(
    spec: dg.AssetSpec, latest: dg.AssetMaterialization | None, versions: Mapping[dg.AssetKey, str | None],
    settings: DomainSettings,
) -> Status:  # fmt: skip
    """One asset's status, given its last materialization and the current versions of what it reads."""
    if latest is None:
        return Status("missing", ("never made",))
    tags = latest.tags or {}
    changed = _changed_parts(tags.get(CODE_VERSION_TAG, ""), spec.code_version or "")
    causes = [_code_cause(part, latest, settings) for part in changed]
    keys = [dep.asset_key for dep in spec.deps]
    changed_inputs = [key for key in keys if recorded_input(latest, key) != versions.get(key)]
    causes += [f"{key.path[-1]} has new content" for key in changed_inputs]
    return Status("stale", tuple(causes)) if causes else Status("fresh")


def _changed_parts(recorded: str, current: str) -> list[str]:
    """The sections, and the code, of which two code versions differ."""
    before, now = dict(map(_part, recorded.split())), dict(map(_part, current.split()))
    return [name for name in {**now, **before} if before.get(name) != now.get(name)]


def _code_cause(part: str, latest: dg.AssetMaterialization, settings: DomainSettings) -> str:
    """A part that has changed, and what of its settings: `training: settings changed (epochs is 3, was 2)`."""
    if part == CODE:
        return "the code that makes it changed"
    kept = latest.metadata.get(SETTINGS)
    before = kept.value.get(part) if isinstance(kept, dg.JsonMetadataValue) and isinstance(kept.value, dict) else None
    told = "; ".join(getattr(settings, part).changes(before)) if before is not None else ""
    return f"{part}: settings changed{f' ({told})' if told else ''}"


def _part(text: str) -> tuple[str, str]:
    section, separator, version = text.partition(":")
    return (section, version) if separator else (CODE, section)


def downstream(specs: Sequence[dg.AssetSpec], roots: Sequence[dg.AssetKey]) -> list[dg.AssetKey]:
    """The roots and everything that reads them, directly or not, in the order of `specs`."""
    found = set(roots)
    for spec in specs:  # in topological order
        if any(dep.asset_key in found for dep in spec.deps):
            found.add(spec.key)
    return [spec.key for spec in specs if spec.key in found]
