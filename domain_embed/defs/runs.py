"""Planning and running one domain: only stale work, in one Dagster run."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import OperationalError

from domain_embed.contracts.errors import DomainEmbedError, InputError, SettingsError, StoreError
from domain_embed.defs.assets import (
    REUSED,
    SECONDS,
    WHY,
    AssetFailedError,
    accepted_inputs,
    asset_spec,
    observe_sources,
)
from domain_embed.defs.data import sources_of
from domain_embed.defs.graph import RECIPES, in_order
from domain_embed.defs.policies import DOMAIN_TAG, FORCE_TAG, LANE, REASON_TAG
from domain_embed.defs.processes import close_abandoned
from domain_embed.defs.staleness import (
    Status,
    data_versions,
    downstream,
    last_materializations,
    statuses,
    with_accepted,
)
from domain_embed.files import keep_file, private_umask, tighten_store
from domain_embed.settings import DomainSettings, Environment
from domain_embed.stores.workspace import STORE_FOLDER, Workspace

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
OLD_DAGSTER_YAML = "telemetry:\n  enabled: false\n"
DAGSTER_YAML = """\
telemetry:
  enabled: false
concurrency:
  pools:  # a run that trains waits in the queue while another one does
    granularity: run
    default_limit: 1
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 60
freshness:
  enabled: true
"""


@dataclass(frozen=True)
class Plan:
    """Status of every asset by name, in graph order, and the assets that may run again after the stale ones."""

    statuses: Mapping[str, Status]
    may_run: tuple[str, ...]
    last_seconds: Mapping[str, float]

    @property
    def stale(self) -> tuple[str, ...]:
        """What has to run now."""
        return tuple(name for name, status in self.statuses.items() if status.state != "fresh")

    @property
    def estimate_seconds(self) -> tuple[float, float] | None:
        """How long the stale assets, and all that may run with them, took the last time; None when one never ran."""
        names = (self.stale, (*self.stale, *self.may_run))
        if any(name not in self.last_seconds for name in names[1]):
            return None
        low, high = (sum(self.last_seconds[name] for name in chosen) for chosen in names)
        return low, high


@dataclass(frozen=True)
class RunOutcome:
    """What one run did: seconds and reasons of the assets that worked, and those whose last result was reused."""

    worked: Mapping[str, float]
    reused: tuple[str, ...]
    run_id: str
    reasons: Mapping[str, str]


@contextmanager
def open_instance(environment: Environment) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance: that of DAGSTER_HOME, or one kept with the domains.

    Raises StoreError when it cannot be written, also when its database or MLflow's cannot be in the middle of work.
    """
    home = dagster_home(environment)
    try:
        tighten_store(environment.home / STORE_FOLDER)
        environment.home.mkdir(parents=True, exist_ok=True)
        settings = home / "dagster.yaml"
        if not settings.exists() or settings.read_text(encoding="utf-8") == OLD_DAGSTER_YAML:
            keep_file(settings, DAGSTER_YAML)
    except OSError as error:
        raise StoreError(f"{home} cannot be written: {error}", "free space or fix permissions") from error
    try:
        # Dagster makes its databases and its logs by the umask, and until the end.
        with private_umask(), dg.DagsterInstance.from_config(str(home)) as instance:
            close_abandoned(instance)
            yield instance
    except OperationalError as error:
        hint = f"see that {home}, or the server it names, can be reached and has free space"
        raise StoreError(f"a database cannot be used ({error.orig})", hint) from None


def dagster_home(environment: Environment) -> Path:
    """DAGSTER_HOME, or a folder kept with the domains."""
    return Path(os.environ.get("DAGSTER_HOME") or environment.home / STORE_FOLDER / "dagster")


def make_plan(instance: dg.DagsterInstance, workspace: Workspace) -> Plan:
    """Looks at the sources and says what is stale, why, and what may run again after it."""
    settings, domain = workspace.settings, workspace.domain
    sources = [dg.AssetKey([domain, name]) for name in sources_of(settings)]
    observe_sources(instance, workspace, settings, sources)
    recipes = in_order(settings)
    specs = [asset_spec(domain, settings, recipe) for recipe in recipes]
    events = last_materializations(instance, [*sources, *(spec.key for spec in specs)])
    versions = data_versions(events)
    for spec, recipe in zip(specs, recipes, strict=True):
        accepted = with_accepted(events.get(spec.key), versions, accepted_inputs(domain, workspace, recipe))
        events |= {spec.key: accepted} if accepted is not None else {}
    found = statuses(specs, events, settings)
    for key, recipe in zip(found, recipes, strict=True):
        outdated = recipe.outdated(workspace, settings) if found[key].state == "fresh" else None
        if outdated is not None:
            found[key] = Status("stale", (outdated,))
    stale = [key for key, status in found.items() if status.state != "fresh"]
    return Plan(
        {key.path[-1]: status for key, status in found.items()},
        tuple(key.path[-1] for key in downstream(specs, stale) if key not in stale),
        _seconds(events),
    )


def plan_run(instance: dg.DagsterInstance, workspace: Workspace, definitions: dg.Definitions) -> Plan:
    """The plan; where a source cannot be looked at, a missing file of labels, the lane runs before that is raised.

    What was deleted or restricted is hidden then, whatever else is wrong with the domain.
    """
    try:
        return make_plan(instance, workspace)
    except InputError:
        run_assets(instance, workspace, definitions, LANE, reason="a source cannot be read; what is gone is hidden")
        raise


def run_stale(
    instance: dg.DagsterInstance, workspace: Workspace, definitions: dg.Definitions, of: Collection[str] | None = None
) -> RunOutcome | None:
    """Runs what is stale, and what may be after it, of these assets or of all; None where there is nothing to run.

    Raises as `run_assets` does.
    """
    plan = plan_run(instance, workspace, definitions)
    names = [name for name in (*plan.stale, *plan.may_run) if of is None or name in of]
    return run_assets(instance, workspace, definitions, names) if names else None


def upstream(name: str, settings: DomainSettings) -> list[str]:
    """An asset and everything it is made of by these settings, in graph order."""
    wanted = {name}
    recipes = in_order(settings)
    for recipe in reversed(recipes):
        if recipe.name in wanted:
            wanted |= set(recipe.reads(settings))
    return [recipe.name for recipe in recipes if recipe.name in wanted]


def run_assets(
    instance: dg.DagsterInstance, workspace: Workspace, definitions: dg.Definitions, names: Sequence[str], *,
    force: bool = False, reason: str = "asked for on the command line",
) -> RunOutcome:  # fmt: skip
    """Runs these assets in one Dagster run in this process; those whose inputs turn out unchanged are reused.

    Raises the DomainEmbedError of the asset that failed, or KeyboardInterrupt; what was made before stays.
    """
    unknown = [name for name in names if name not in {recipe.name for recipe in RECIPES}]
    if unknown:
        known = ", ".join(recipe.name for recipe in RECIPES)
        raise SettingsError(f"no asset {', '.join(map(repr, unknown))}", f"assets: {known}")
    job = definitions.resolve_implicit_global_asset_job_def()
    try:
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey([workspace.domain, name]) for name in names],
            tags={DOMAIN_TAG: workspace.domain, REASON_TAG: reason, **({FORCE_TAG: "1"} if force else {})},
            run_config=QUIET,
        )
    except dg.DagsterExecutionInterruptedError as interruption:
        raise KeyboardInterrupt from interruption
    except dg.DagsterError as error:
        raise _user_error(error) from error
    except AssetFailedError as failure:
        raise failure.error from None
    return _outcome(result)


def timings(instance: dg.DagsterInstance, domain: str) -> dict[str, float]:
    """Seconds each asset's last real work took."""
    return _seconds(last_materializations(instance, [dg.AssetKey([domain, recipe.name]) for recipe in RECIPES]))


def _seconds(events: Mapping[dg.AssetKey, dg.AssetMaterialization]) -> dict[str, float]:
    return {
        key.path[-1]: float(str(event.metadata[SECONDS].value))
        for key, event in events.items()
        if SECONDS in event.metadata
    }


def _outcome(result: dg.ExecuteInProcessResult) -> RunOutcome:
    worked, reused, reasons = {}, [], {}
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        name = event.materialization.asset_key.path[-1]
        if metadata[REUSED].value:
            reused.append(name)
        else:
            worked[name] = float(str(metadata[SECONDS].value))
            reasons[name] = str(metadata[WHY].value)
    return RunOutcome(worked, tuple(reused), result.run_id, reasons)


def _user_error(error: BaseException) -> BaseException:
    """The product's own error behind Dagster's, if one is there; otherwise the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DomainEmbedError):
            return cause
        cause = cause.__cause__
    return error
