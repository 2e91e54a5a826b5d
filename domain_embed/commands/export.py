"""The command that hands a model out."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain_embed.commands.options import AsJson, Name, open_workspace
from domain_embed.console import console, line, print_json, quiet_libraries

if TYPE_CHECKING:
    from domain_embed.contracts.records import CollectionInfo
    from domain_embed.promotion.export import Provenance
    from domain_embed.stores.workspace import Workspace

app = typer.Typer()


@app.command()
def export(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="Where the model goes: a new or empty folder.", metavar="DIR")],
    version: Annotated[str, typer.Option(help="champion (what is live), challenger or base.")] = "champion",
    with_openvino: Annotated[bool, typer.Option("--openvino", help="Also write OpenVINO's format.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the model that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a model as a sentence-transformers folder with a model card: training data, figures, limits."""
    from domain_embed.promotion.export import export_model
    from domain_embed.serving import aliased
    from domain_embed.settings import ModelSettings

    workspace = open_workspace(name)
    rule = workspace.access_rule().rule
    quiet_libraries()
    info = workspace.vector_store.open(aliased(workspace, version)).info
    workspace.access_record.require_present(rule, [info])
    about = replace(_provenance(workspace, info, version), notice=rule.notice if rule else "")
    settings = ModelSettings(**info.model_settings)
    source = workspace.model_location(info.model)
    workspace.trail.record("export", name, source=info.name, target=str(folder.resolve()), version=version)
    export_model(source, settings, folder, about, with_openvino=with_openvino, force=force)
    if as_json:
        print_json({"domain": name, "version": version, "fingerprint": info.fingerprint, "path": str(folder.resolve())})
    else:
        console.print(line("model ", (info.fingerprint, "bold"), f" is in {folder}, with its card in README.md"))


def _provenance(workspace: "Workspace", info: "CollectionInfo", version: str) -> "Provenance":
    from domain_embed.promotion.export import Provenance

    record = workspace.checkpoint_record(info.fingerprint) or {}
    known = workspace.reference(info.fingerprint)
    splits = known.read("splits").read(["split"]) if known.has("splits") else None
    reports = [one for one in workspace.all_reports() if one["evidence"]["challenger_fingerprint"] == info.fingerprint]
    return Provenance(
        workspace.domain,
        version,
        info.fingerprint,
        record,
        Counter(splits["split"].to_pylist()) if splits is not None else {},
        _sources(workspace, record.get("splits")),
        reports[-1] if reports else None,
    )


def _sources(workspace: "Workspace", splits_version: str | None) -> dict[str, int]:
    """Judgments per source, where the splits are still those the model was trained on."""
    if not workspace.tables.has("judgments") or workspace.tables.read("splits").version != splits_version:
        return {}
    return dict(Counter(workspace.tables.read("judgments").read(["source"])["source"].to_pylist()))
