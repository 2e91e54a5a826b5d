"""Commands on what is live: search it, list it, put it back."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.table import Table

from domain_embed.commands.options import AsJson, Name
from domain_embed.console import console, print_hits, print_json, quiet_libraries
from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.records import Mode
from domain_embed.retrieval.filters import FORMS, parse_filters
from domain_embed.settings import Environment

if TYPE_CHECKING:
    from domain_embed.stores.tracking import Tracking


app = typer.Typer()


@app.command()
def search(
    name: Name,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many passages.")] = 10,
    mode: Annotated[str | None, typer.Option(help="dense, sparse, hybrid, weighted; default: retrieval.mode.")] = None,
    filters: Annotated[list[str] | None, typer.Option("--filter", help=f"On metadata, repeatable: {FORMS}.")] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", help="A group of the one who asks, repeatable; see access: in the file."),
    ] = None,
    rerank: Annotated[bool | None, typer.Option("--rerank/--no-rerank", help="Default: retrieval.rerank.")] = None,
    documents: Annotated[bool, typer.Option("--documents", help="The best documents, with their passages.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show which rankings put a passage where it is.")] = False,
    version: Annotated[str, typer.Option(help="champion (what is live), challenger or base.")] = "champion",
    as_json: AsJson = False,
) -> None:
    """Search the live collection, or another version of it, with the model that made it."""
    if mode is not None and mode not in get_args(Mode):
        raise SettingsError(f"--mode {mode!r} is not one of {', '.join(get_args(Mode))}")
    quiet_libraries()
    from domain_embed.serving import Searcher

    searcher = Searcher.open(name, groups=groups, version=version)
    where = parse_filters(filters or [], searcher.filterable) or None
    chosen = cast("Mode | None", mode)
    if documents:
        found = searcher.search_documents(query, k, mode=chosen, where=where, rerank=rerank)
        hits = [hit for document in found for hit in document.passages]
    else:
        hits = searcher.search(query, k, mode=chosen, where=where, rerank=rerank)
    if as_json:
        rows = [{"rank": rank, **asdict(hit)} for rank, hit in enumerate(hits, start=1)]
        print_json({"domain": name, "collection": searcher.collection, "query": query, "hits": rows})
    else:
        print_hits(hits, explain=explain)


@app.command()
def versions(name: Name, as_json: AsJson = False) -> None:
    """List the collections, oldest first: their model, size and age, and which one is live."""
    from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

    environment = Environment.read()
    environment.settings(name)
    store = Workspace(environment, name).vector_store
    names = {"live": store.alias(LIVE), "challenger": store.alias(CHALLENGER), "base": store.alias(BASE)}
    rows: list[dict[str, Any]] = [
        {
            "collection": info.name,
            "model": info.model,
            "fingerprint": info.fingerprint,
            "passages": info.count,
            "built_at": info.built_at,
            "aliases": [alias for alias, target in names.items() if target == info.name],
        }
        for info in store.collections()
    ]
    if as_json:
        print_json({"domain": name, "collections": rows})
        return
    table = Table("collection", "model", "passages", "built", "")
    for row in rows:
        marks = ", ".join(f"[bold green]{a}[/bold green]" if a == "live" else a for a in row["aliases"])
        table.add_row(row["collection"], row["fingerprint"], f"{row['passages']:,}", row["built_at"], marks)
    console.print(table)


@app.command()
def rollback(name: Name, as_json: AsJson = False) -> None:
    """Put the previous live model back, at once. The model rolled back from is not promoted again by itself."""
    from domain_embed.promotion.champion import PromotionLog, roll_back
    from domain_embed.stores.workspace import LIVE, Workspace

    environment = Environment.read()
    environment.settings(name)
    workspace = Workspace(environment, name)
    move = roll_back(workspace.vector_store, PromotionLog(workspace.promotions), LIVE)
    _tracking(environment).set_alias(name, "champion", move.fingerprint)
    if as_json:
        print_json(asdict(move))
    else:
        console.print(f"live again: [bold]{move.target}[/bold] (model {move.fingerprint}); was {move.source}")


def _tracking(environment: Environment) -> "Tracking":
    from domain_embed.stores.tracking import Tracking
    from domain_embed.stores.workspace import STORE_FOLDER

    return Tracking(environment.mlflow_tracking_uri, environment.home / STORE_FOLDER / "mlflow")
