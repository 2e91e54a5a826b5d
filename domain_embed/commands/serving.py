"""Commands on what is live: search it, list it, put it back."""

from dataclasses import asdict
from typing import Annotated, cast, get_args

import typer

from domain_embed.commands.options import AsJson, Name, open_tracking, open_workspace
from domain_embed.console import console, print_json, quiet_libraries
from domain_embed.contracts.errors import DomainEmbedError, SettingsError, StoreError
from domain_embed.contracts.records import Mode
from domain_embed.printing.serving import print_advice, print_hits, print_move, print_rollback, print_versions
from domain_embed.retrieval.filters import FORMS, parse_filters, parse_untyped_filters

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

    workspace = open_workspace(name)
    restricted = workspace.access_rule().rule is not None
    searcher = Searcher(workspace, version, groups)
    where = parse_untyped_filters(filters or []) if restricted else parse_filters(filters or [], searcher.filterable)
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
    """List the collections, oldest first: their model, size, age and quality, and which one is live."""
    from domain_embed.cutover import version_rows

    rows = version_rows(open_workspace(name))
    if as_json:
        print_json({"domain": name, "collections": rows})
    else:
        print_versions(rows)


@app.command()
def promote(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Against the verdict, or after a rollback.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the newest tuned model live, when its verdict says so. Its collection is proven first."""
    from domain_embed.cutover import promote_challenger

    quiet_libraries()
    workspace = open_workspace(name)
    move = promote_challenger(workspace, reason=reason, force=force)
    workspace.store()
    open_tracking(workspace.environment).set_alias(name, "champion", move.fingerprint)
    if as_json:
        print_json(asdict(move))
    else:
        print_move(move)


@app.command()
def prune(
    name: Name,
    keep: Annotated[
        int | None, typer.Option(min=0, help="Newest ones to keep; default: retention.collections.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove old collections, but never what is in use or what a rollback would put back."""
    from domain_embed.cutover import prune_workspace

    removed = [info.name for info in prune_workspace(open_workspace(name), keep)]
    if as_json:
        print_json({"domain": name, "removed": removed})
    else:
        console.print(f"removed: {', '.join(removed)}" if removed else "nothing to remove")


@app.command()
def advise(
    name: Name,
    version: Annotated[str, typer.Option(help="Whose vectors: champion, challenger or base.")] = "champion",
    as_json: AsJson = False,
) -> None:
    """Measure index settings on your passages and validation queries, and recommend: recall, time, memory, nDCG@10.

    Qdrant Edge on this machine is measured, also where a Qdrant server serves.
    """
    from domain_embed.advisor import MEASURED_STORE
    from domain_embed.advisor import advise as measure_candidates
    from domain_embed.evaluation.measures import mean_ndcg
    from domain_embed.serving import aliased

    quiet_libraries()
    workspace = open_workspace(name)
    collection = workspace.vector_store.open(aliased(workspace, version))
    queries, qrels = workspace.judged("validation")
    vectors = workspace.encoder_of(collection.info).encode_queries(list(queries.values()))
    advice = measure_candidates(collection, dict(zip(queries, vectors, strict=True)), lambda run: mean_ndcg(run, qrels))
    url = workspace.environment.qdrant_url
    serving = f"Qdrant at {url}" if url else MEASURED_STORE
    if as_json:
        rows = [{**asdict(one), "settings": one.settings.model_dump()} for one in advice.measured]
        print_json({
            "exact_ndcg": advice.exact_ndcg, "recommended": advice.recommended, "measured": MEASURED_STORE,
            "serving": serving, "candidates": rows,
        })  # fmt: skip
    else:
        print_advice(advice, MEASURED_STORE, serving)


@app.command()
def rollback(name: Name, as_json: AsJson = False) -> None:
    """Put the previous live model back, at once, then give it the texts that are new since.

    What was deleted or restricted since it was live stays so. The model rolled back from is not promoted again by
    itself. When the new texts cannot be embedded the rollback stands, and the error is told.
    """
    from domain_embed.cutover import refresh_live, roll_back_model

    quiet_libraries()
    workspace = open_workspace(name)
    move, refreshed, failure = roll_back_model(workspace), None, None
    workspace.store()
    try:
        refreshed = refresh_live(workspace, workspace.settings)
        workspace.store()
    except DomainEmbedError as error:
        failure = error
    if as_json:
        print_json({**asdict(move), "refreshed": asdict(refreshed) if refreshed else None})
    else:
        print_rollback(move, refreshed)
    open_tracking(workspace.environment).set_alias(name, "champion", move.fingerprint)
    if failure is not None:
        raise StoreError(
            f"the rollback stands, but the texts that are new since are not in what is live: {failure}",
            f"`domain-embed run {name}` tries again",
        ) from failure
