"""Erasing documents, or a whole domain: step by step, so that it may be interrupted and goes on with the next call."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from domain_embed.audit import AuditTrail, who
from domain_embed.contracts.errors import DomainEmbedError, SettingsError
from domain_embed.corpus.erased import note_erased
from domain_embed.defs.assets import lock_artifact
from domain_embed.defs.graph import RECIPES
from domain_embed.erasure import places, run_logs
from domain_embed.erasure.leftovers import artifact_folder, copies, look, outside, scrub_own_files
from domain_embed.erasure.outcome import Outcome, Unreached
from domain_embed.erasure.places import scrubbing
from domain_embed.erasure.subject import UNFINISHED_FILE, Subject, gather, note_scored
from domain_embed.settings import DomainSettings, Environment
from domain_embed.stores.tracking import Tracking
from domain_embed.stores.workspace import STORE_FOLDER, Workspace, stored_domains

ERASING = "erase"


def erase_documents(environment: Environment, domain: str, documents: Sequence[str], *, dry: bool = False) -> Outcome:
    """Removes the texts of documents from everything that is made of the domain; what serves comes first.

    Nothing here needs a sound pipeline: neither labels nor the documents' files have to be readable.

    Raises:
        SettingsError: There is no such domain, nor anything that was made of one.
        InputError: The domain has, and had, no such document.
        StoreError: What must be known or noted before anything is removed cannot be read or written.
    """
    require_known(environment, domain)
    workspace = Workspace.open(environment, domain)
    settings, store = readable_settings(environment, domain), workspace.vector_store
    subject = gather(workspace, store, settings, documents)
    note_scored(workspace, store, subject)
    outcome = Outcome(domain, tuple(sorted(subject.documents)), dry)
    if not dry:
        _note(workspace, subject)
    outcome.take(lambda: places.amend_collections(store, subject, dry=dry))
    with ExitStack() as held:
        if not dry:
            held.enter_context(no_run(workspace))
        # Once more: a run that was at work may have finished a collection meanwhile.
        if not dry:
            outcome.take(lambda: places.amend_collections(store, subject, dry=dry, hidden=False))
        _scrub(workspace, subject, outcome)
        if not dry:
            with outcome.noting():
                workspace.store()
            outcome.still_held += look(workspace, store, subject, _tracking(environment))
    outcome.not_reached += outside(workspace, settings, subject, _tracking(environment))
    if not dry and outcome.finished:
        (workspace.root / UNFINISHED_FILE).unlink(missing_ok=True)
    return outcome


def _note(workspace: Workspace, subject: Subject) -> None:
    """Before anything goes: who does it, that a source may not bring it back, and what to go on with."""
    documents = sorted(subject.documents)
    workspace.trail.record(
        "erase", workspace.domain, target=", ".join(documents), documents=documents, models=sorted(subject.models)
    )
    if workspace.folder.is_dir():
        note_erased(workspace.folder, documents, who())
    subject.keep(workspace.root)


def _scrub(workspace: Workspace, subject: Subject, outcome: Outcome) -> None:
    dry, change, environment = outcome.dry, scrubbing(subject), workspace.environment
    tracking = _tracking(environment)
    outcome.take(lambda: places.scrub_tables(workspace, subject, dry=dry))
    outcome.take(lambda: places.empty_caches(workspace, subject, dry=dry))
    outcome.take(lambda: places.scrub_files(workspace, subject, dry=dry))
    outcome.take(lambda: places.remove_drafts(workspace, dry=dry))
    outcome.take(lambda: scrub_own_files(workspace, subject, dry=dry))
    outcome.take(lambda: run_logs.scrub_tracking(tracking, workspace.domain, change, dry=dry))
    outcome.take(lambda: run_logs.scrub_artifacts(artifact_folder(workspace), change, dry=dry))
    outcome.take(lambda: run_logs.scrub_databases(environment, tracking, change, dry=dry))
    outcome.take(lambda: run_logs.scrub_output(environment, change, dry=dry))


def erase_domain(environment: Environment, domain: str, *, dry: bool = False) -> Outcome:
    """Removes everything that was made of a domain; the user's folder stays, if it is there.

    Raises SettingsError when there is neither such a domain nor anything that was made of one, and StoreError when the
    deed cannot be recorded.
    """
    require_known(environment, domain)
    workspace, tracking = Workspace(environment, domain), _tracking(environment)
    outcome = Outcome(domain, dry=dry)
    outcome.not_reached += _beyond(workspace, tracking)
    if dry:
        outcome.removed += [str(workspace.root), f"Dagster and MLflow: everything of {domain}"]
        return outcome
    AuditTrail(environment.home / STORE_FOLDER).record("erase", domain, source=str(workspace.root))
    with no_run(workspace):
        outcome.take(lambda: [f"collection {name}" for name in workspace.vector_store.clear()])
        outcome.take(lambda: run_logs.forget_runs(environment, domain))
        outcome.take(lambda: run_logs.forget_events(environment, domain))
        outcome.take(lambda: run_logs.forget_snapshots(environment, domain))
        outcome.take(lambda: run_logs.forget_tracking(tracking, domain, artifact_folder(workspace)))
        outcome.take(lambda: [f"object storage: {count} objects"] if (count := workspace.clear_storage()) else [])
        outcome.failed += run_logs.compact_databases(environment, tracking)
        if outcome.finished:  # last: while the folder is there, the domain is listed, and the same call goes on
            outcome.take(lambda: _remove_folders(workspace))
    return outcome


def _remove_folders(workspace: Workspace) -> Iterator[str]:
    for folder in (artifact_folder(workspace), workspace.root):
        if folder.exists():
            shutil.rmtree(folder)
            yield str(folder)


def _beyond(workspace: Workspace, tracking: Tracking) -> list[Unreached]:
    """What an erased domain leaves elsewhere."""
    found = []
    if workspace.folder.is_dir():
        found.append(Unreached("the domain's own files", str(workspace.folder), "they are yours: remove the folder"))
    if run_logs.is_remote(tracking):
        found.append(Unreached("deleted runs", tracking.ui, "`mlflow gc` on the server removes them for good"))
    return [*found, *_exports(workspace), *copies(workspace)]


def _exports(workspace: Workspace) -> list[Unreached]:
    trail = workspace.trail
    return [
        Unreached("an exported model", line.target, "remove the folder")
        for line in trail.read(workspace.domain)
        if line.deed == "export"
    ]


@contextmanager
def no_run(workspace: Workspace) -> Iterator[None]:
    """No run makes anything of the domain meanwhile; one that is at work on an asset is waited for."""
    with ExitStack() as held:
        for recipe in RECIPES:
            held.enter_context(lock_artifact(workspace.root / "locks", recipe.name, ERASING))
        yield


def readable_settings(environment: Environment, domain: str) -> DomainSettings | None:
    """The domain's settings; None where its file is gone or cannot be used."""
    try:
        return environment.settings(domain)
    except DomainEmbedError:
        return None


def require_known(environment: Environment, domain: str) -> None:
    """Raises SettingsError unless there is such a domain, or a store of one."""
    if domain not in environment.domains() and domain not in stored_domains(environment):
        known = ", ".join(sorted({*environment.domains(), *stored_domains(environment)})) or "none"
        raise SettingsError(f"there is no domain {domain!r}, nor anything made of one", f"there are: {known}")


def _tracking(environment: Environment) -> Tracking:
    return Tracking(environment.mlflow_tracking_uri, environment.home / STORE_FOLDER / "mlflow")
