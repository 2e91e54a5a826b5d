"""Recipes to Dagster assets: each reuses its last result when nothing it depends on has changed."""

import ctypes
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from domain_embed.contracts.errors import DomainEmbedError, StoreUnavailableError
from domain_embed.contracts.secrets import redact, redacted_error
from domain_embed.defs.data import SOURCES, domain_group, source_version
from domain_embed.defs.launch import launch_schema, launched_settings
from domain_embed.defs.notes import notes_on
from domain_embed.defs.policies import (
    FORCE_TAG,
    LANE,
    PROMOTE_TAG,
    REASON_TAG,
    automation_condition,
    freshness_policy,
    op_tags_of,
    pool_of,
)
from domain_embed.defs.processes import mark_run
from domain_embed.defs.redacted import redacts_errors
from domain_embed.defs.staleness import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    INPUT_VERSION_TAG,
    SETTINGS,
    asset_status,
    current_versions,
    input_tag,
    last_materialization,
    observe,
    with_accepted,
)
from domain_embed.defs.work import AssetRecipe, Produced, Work, bullets, recorded
from domain_embed.files import PRIVATE_FILE, private_folder
from domain_embed.settings import DomainSettings, Environment
from domain_embed.stores.tracking import Tracking
from domain_embed.stores.workspace import STORE_FOLDER, Workspace

logger = logging.getLogger("domain_embed.run")

RETRY_SECONDS = (5, 15)
"""Before an asset is tried again whose store did not answer: it goes on where it was, so this is safe and cheap."""
NOTES, REUSED, SECONDS, WHY = "notes", "reused", "seconds", "made because"


@dataclass(frozen=True)
class Stores:
    """Where artifacts and figures go: what the environment said when the code location was loaded, whatever runs."""

    environment: Environment

    def workspace(self, domain: str) -> Workspace:
        """One domain's workspace, brought up to what other machines have stored of it."""
        return Workspace.open(self.environment, domain)

    def tracking(self) -> Tracking:
        """MLflow."""
        environment = self.environment
        return Tracking(
            environment.mlflow_tracking_uri, environment.home / STORE_FOLDER / "mlflow", environment.mlflow_ui
        )


def build_asset(domain: str, settings: DomainSettings, recipe: AssetRecipe) -> dg.AssetsDefinition:
    """One asset of one domain. Its run config, if it has any, is filled with the settings of domain.yaml."""

    @dg.multi_asset(
        name=domain_group(domain, recipe.name), specs=[asset_spec(domain, settings, recipe)],
        pool=pool_of(recipe.name), op_tags=op_tags_of(recipe.name), config_schema=launch_schema(recipe.name, settings),
    )  # fmt: skip
    @redacts_errors
    def materialize(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]  # fmt: skip
        mark_run(context.instance, context.run, domain)
        workspace = stores.workspace(domain)
        forced = context.run.tags.get(FORCE_TAG) == "1" or bool(recipe.name == "champion" and _override(context.run))
        launched = launched_settings(recipe.name, settings, context.op_execution_context.op_config)
        spec = asset_spec(domain, launched, recipe)
        with _alone(workspace, recipe.name):
            inputs = _input_versions(context.instance, workspace, settings, spec)
            latest = with_accepted(
                last_materialization(context.instance, spec.key), inputs, accepted_inputs(domain, workspace, recipe)
            )
            status = asset_status(spec, latest, inputs, launched)
            outdated = recipe.outdated(workspace, launched) if status.state == "fresh" else None
            if latest is not None and status.state == "fresh" and not forced and outdated is None:
                logger.info("%s: reused, nothing it reads has changed", recipe.name)
                yield _again(latest, samples=settings.samples)
                return
            why = "; ".join(status.causes) or outdated or "forced"
            logger.info("%s: made now (%s)", recipe.name, why)
            try:
                made = _run(context.run, stores, workspace, launched, recipe, inputs, forced, why)
            except StoreUnavailableError as error:
                raise _try_again(error, context.retry_number, samples=settings.samples) from error
            for note in notes_on(recipe.name, workspace, launched):
                logger.warning("%s: %s", recipe.name, note.text)
            yield made

    return materialize


class AssetFailedError(dg.Failure):
    """A body has failed. Dagster records what `told` says; `error`, which may quote texts, is for who started the run.

    To be raised `from None`: Dagster records causes, too.
    """

    def __init__(self, error: Exception, *, samples: bool) -> None:
        self.error = redacted_error(error)
        super().__init__(_told(error, samples=samples), allow_retries=False)


def _told(error: Exception, *, samples: bool) -> str:
    """What goes into the run log of an error: texts are quoted only where samples are asked for."""
    if isinstance(error, DomainEmbedError):
        return str(error) if samples else error.recorded
    if samples:
        return "".join(traceback.format_exception(error))
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"unexpected {type(error).__name__}; its message may quote texts and is not kept (`samples: true`)\n{frames}"


def _try_again(error: StoreUnavailableError, tried: int, *, samples: bool) -> dg.RetryRequested | dg.Failure:
    if tried >= len(RETRY_SECONDS):
        return AssetFailedError(error, samples=samples)
    logger.warning("%s; another try in %d s", error, RETRY_SECONDS[tried])
    return dg.RetryRequested(max_retries=len(RETRY_SECONDS), seconds_to_wait=RETRY_SECONDS[tried])


def asset_spec(domain: str, settings: DomainSettings, recipe: AssetRecipe) -> dg.AssetSpec:
    """The asset as the graph sees it."""
    return dg.AssetSpec(
        [domain, recipe.name],
        deps=[dg.AssetKey([domain, dep]) for dep in recipe.reads(settings)],
        description=recipe.body.__doc__,
        group_name=domain_group(domain, recipe.group),
        kinds=set(recipe.kinds),
        owners=[settings.owner] if settings.owner else [],
        code_version=recipe.code_version(settings),
        automation_condition=automation_condition(recipe.name, settings),
        freshness_policy=freshness_policy(recipe.name, settings),
    )


def accepted_inputs(domain: str, workspace: Workspace, recipe: AssetRecipe) -> dict[dg.AssetKey, Callable[[], bool]]:
    """What the recipe accepts not to have been read, by key."""
    return {dg.AssetKey([domain, name]): partial(holds, workspace) for name, holds in recipe.accepts.items()}


def _run(
    run: dg.DagsterRun, stores: Stores, workspace: Workspace, settings: DomainSettings, recipe: AssetRecipe,
    inputs: dict[dg.AssetKey, str | None], forced: bool, why: str,
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # fmt: skip
    """Does the work, with a nested MLflow run, and records the versions of what was read and of the settings used."""
    tracking, started = stores.tracking(), time.monotonic()
    reason = run.tags.get(REASON_TAG)
    try:
        # What hides passages and shows none goes on where the rule has vanished from domain.yaml, by the one known.
        access = workspace.known_access() if recipe.name in LANE else workspace.access_rule()
        settings = settings.model_copy(update={"access": access})
        with tracking.asset_run(
            workspace.domain, run.run_id, recipe.name, reason=reason, required=recipe.name not in LANE
        ) as tracker:
            produced = recipe.body(Work(workspace, settings, tracker, tracking, forced, _override(run)))
            workspace.save_notes(recipe.name, produced.notes)
            workspace.access_record.know(settings.access.rule)
            workspace.store()
            seconds = time.monotonic() - started
            tracker.log_metrics({**produced.metrics, SECONDS: seconds})
    except StoreUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001  # raised again; with it as a cause Dagster would keep its message
        raise AssetFailedError(error, samples=settings.samples) from None
    finally:
        _return_memory()
    return dg.MaterializeResult(
        data_version=dg.DataVersion(produced.version),
        metadata={
            **recorded(_metadata(produced, seconds, tracker.url), samples=settings.samples),
            WHY: why,
            SETTINGS: dg.MetadataValue.json(recipe.content(settings)),
        },
        tags={
            CODE_VERSION_TAG: recipe.code_version(settings),
            **{input_tag(key): version for key, version in inputs.items() if version is not None},
        },
    )


def _override(run: dg.DagsterRun) -> str | None:
    """A reason to promote anyway; one that says nothing is none."""
    return run.tags.get(PROMOTE_TAG, "").strip() or None


def _return_memory() -> None:
    """Gives freed memory back to the system: glibc keeps it, and the peak of the next asset would come on top."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def _metadata(produced: Produced, seconds: float, url: str) -> dict[str, dg.MetadataValue | str | int | float]:
    return {
        **{name: _redacted(value) for name, value in produced.metadata.items()},
        **({NOTES: _redacted(bullets(note.text for note in produced.notes))} if produced.notes else {}),
        **produced.metrics,
        SECONDS: round(seconds, 2),
        REUSED: False,
        "MLflow run": dg.MetadataValue.url(url),
    }


def _redacted(value: dg.MetadataValue | str | int | float) -> dg.MetadataValue | str | int | float:
    """Texts without secrets; tables and figures as they are."""
    if isinstance(value, dg.MarkdownMetadataValue):
        return dg.MetadataValue.md(redact(value.value or ""))
    return redact(value) if isinstance(value, str) else value


def _again(latest: dg.AssetMaterialization, *, samples: bool) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The last result once more, with everything that was known about it, also which versions it was made of.

    Dagster would record those it saw when the step began, before the sources were looked at, and call it stale.
    """
    tags = dict(latest.tags or {})
    kept = {tag: value for tag, value in tags.items() if tag == CODE_VERSION_TAG or tag.startswith(INPUT_VERSION_TAG)}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(tags[DATA_VERSION_TAG]), tags=kept,
        metadata={**recorded(latest.metadata, samples=samples), REUSED: True},
    )  # fmt: skip


def _input_versions(
    instance: dg.DagsterInstance, workspace: Workspace, settings: DomainSettings, spec: dg.AssetSpec
) -> dict[dg.AssetKey, str | None]:
    """Current versions of what an asset reads; sources are looked at now, so that no launch misses a change."""
    keys = [dep.asset_key for dep in spec.deps]
    observe_sources(instance, workspace, settings, [key for key in keys if key.path[-1] in SOURCES])
    return current_versions(instance, keys)


def observe_sources(
    instance: dg.DagsterInstance, workspace: Workspace, settings: DomainSettings, keys: Sequence[dg.AssetKey]
) -> None:
    """Records the versions that sources have now; of one that cannot be told, the last one stays."""
    versions = {key: source_version(key.path[-1], workspace, settings) for key in keys}
    observe(instance, {key: version for key, version in versions.items() if version is not None})


@contextmanager
def _alone(workspace: Workspace, asset: str) -> Iterator[None]:
    """Two runs never make the same artifact at once: the second waits, and then mostly finds it made.

    Nor do two trainings of any domains run at once, also where no daemon keeps the pool's limit.
    """
    folders = {asset: workspace.root / "locks"}
    pool = pool_of(asset)
    if pool is not None:
        folders[pool] = workspace.environment.home / STORE_FOLDER / "locks"
    with ExitStack() as held:
        for name, folder in folders.items():
            held.enter_context(lock_artifact(folder, name, asset))
        yield


@contextmanager
def lock_artifact(folder: Path, name: str, asset: str) -> Iterator[None]:
    """Nobody else holds the lock meanwhile; `asset` is who wants it, for the log."""
    private_folder(folder)
    lock = FileLock(folder / f"{name}.lock", mode=PRIVATE_FILE)
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        logger.info("%s: another run is at it (%s); waiting", asset, name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
