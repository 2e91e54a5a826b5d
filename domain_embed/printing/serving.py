"""What the commands print on what is live."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from domain_embed.console import console, line
from domain_embed.contracts.records import Hit

if TYPE_CHECKING:
    from domain_embed.advisor import Advice
    from domain_embed.audit import AuditLine
    from domain_embed.promotion.champion import Move


SNIPPET_CHARACTERS = 160


def print_hits(hits: Sequence[Hit], *, explain: bool = False) -> None:
    """Ranked passages, one line each and the beginning of its text; on request also why each is where it is."""
    for rank, hit in enumerate(hits, start=1):
        name = (hit.title or hit.passage_id, "bold"), "  ", (hit.passage_id, "dim")
        console.print(line((f"{rank:>2}", "bold"), f"  {hit.score:.3f}  ", *name))
        console.print(f"           {_snippet(hit.text)}", style="dim")
        if explain and hit.places:
            places = ", ".join(f"{name} {place.rank} ({place.score:.3f})" for name, place in hit.places.items())
            console.print(f"           {places}", style="cyan")
    if explain and hits and not hits[0].places:
        console.print("under access control it is not told which rankings put a passage where it is")
    if not hits:
        console.print("nothing found")


def print_versions(rows: Sequence[dict[str, Any]]) -> None:
    """The collections, oldest first."""
    table = Table("collection", "model", "passages", "size", "age", "asked", "nDCG@10", "")
    for row in rows:
        marks = line((", ".join(row["aliases"]), "bold green" if "live" in row["aliases"] else ""))
        size = "" if row["size_bytes"] is None else f"{row['size_bytes'] / 1e6:,.0f} MB"
        quality = "" if row["ndcg_at_10"] is None else f"{row['ndcg_at_10']:.3f}"
        age = f"{row['age_days']:.1f} days"
        table.add_row(
            row["collection"], row["fingerprint"], f"{row['passages']:,}", size, age, row["served"], quality, marks
        )
    console.print(table)


def print_advice(advice: "Advice", measured: str, serving: str) -> None:
    """The candidates side by side, what was measured where another store serves, and what to write into domain.yaml."""
    table = Table("index", "recall@10", "nDCG@10", "p50", "p99", "memory", "disk")
    for one in advice.measured:
        name = line((one.name, "bold green" if one.name == advice.recommended else ""))
        table.add_row(name, f"{one.recall:.3f}", f"{one.ndcg:.3f}", f"{one.p50_ms:.2f} ms", f"{one.p99_ms:.2f} ms",
                      f"{one.memory_mb:,.0f} MB", f"{one.disk_mb:,.0f} MB")  # fmt: skip
    console.print(table)
    if serving != measured:
        console.print(line(
            f"measured: {measured}; {serving} serves: recall and nDCG@10 hold there, too; times, memory and disk "
            "are to be compared with each other only"
        ))  # fmt: skip
    console.print(line(f"exact search: nDCG@10 {advice.exact_ndcg:.3f}; recommended: ", (advice.recommended, "bold")))
    chosen = next(one.settings for one in advice.measured if one.name == advice.recommended)
    told = {key: value for key, value in chosen.model_dump().items() if key in chosen.model_fields_set}
    console.print("\n".join(["index:", *(f"  {key}: {value}" for key, value in told.items())]) if told else
                  "leave `index:` as it is by default")  # fmt: skip


def print_move(move: "Move") -> None:
    """What went live, and what a comparison on real queries found before."""
    if move.action == "kept":
        console.print(f"{move.target} is live already")
        return
    console.print(line("live: ", (move.target, "bold"), f" (model {move.fingerprint}); was {move.source}"))
    if move.shadow:
        found = move.shadow
        console.print(
            f"on {found['queries']:.0f} recent queries {found['overlap']:.0%} of the top ten stay, the first passage "
            f"of {found['same_first']:.0%}; {found['live_ms']:.1f} ms a query before, now {found['challenger_ms']:.1f}",
        )


def print_rollback(move: "Move", refreshed: "Move | None") -> None:
    """What is live again, and where it went from there to have the new texts, too."""
    console.print(line("live again: ", (move.target, "bold"), f" (model {move.fingerprint}); was {move.source}"))
    if refreshed is not None:
        console.print(line("with the passages of today: ", (refreshed.target, "bold")))


def print_audit(lines: Sequence["AuditLine"]) -> None:
    """Who did what, oldest first."""
    if not lines:
        console.print("Nothing is recorded yet: nothing went live, was removed, exported or opened.")
        return
    table = Table("when", "who", "domain", "deed", "from", "to", "why")
    for one in lines:
        table.add_row(one.at, one.who, one.domain, one.deed, one.source, one.target, one.reason)
    console.print(table)


def _snippet(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SNIPPET_CHARACTERS else flat[: SNIPPET_CHARACTERS - 1] + "…"
