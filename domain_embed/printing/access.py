"""What the command about access prints."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from domain_embed.console import console, errors, line

SHOWN_GROUPS = 20


def print_access(state: Mapping[str, Any]) -> None:
    """The rule in force, each collection's, and how many passages name groups."""
    if state["vanished"]:
        errors.print(line(("nothing is given out", "bold red"), f": {state['vanished']}"), soft_wrap=True)
    console.print(line("rule in force: ", (_words(state["rule"]), "bold")))
    if state["rule"]:
        sent = ", ".join(state["language_model_groups"]) or "none"
        console.print(f"groups of the language model: {sent}")
    if known := state["recorded"]:
        said = known.get("error") or f"{_words(known['rule'])}, {known['at']}, {known['by']}"
        console.print(f"recorded: {said}", soft_wrap=True)
    if state["collections"]:
        table = Table("collection", "built under")
        for name, rule in state["collections"].items():
            table.add_row(name, _words(rule))
        console.print(table)
    if counted := state["passages"]:
        console.print(
            f"passages: {counted['with_groups']:,} name groups, {counted['without_groups']:,} name none, "
            f"{counted['not_understood']:,} are seen by nobody because what they name is no text or list of texts",
            soft_wrap=True,
        )  # fmt: skip
        for group, count in list(counted["groups"].items())[:SHOWN_GROUPS]:
            console.print(f"  {count:>9,}  {group}")
        if len(counted["groups"]) > SHOWN_GROUPS:
            console.print(f"  and {len(counted['groups']) - SHOWN_GROUPS:,} more groups")


def _words(rule: Mapping[str, str] | None) -> str:
    if not rule:
        return "none: everybody sees everything"
    return f"groups in {rule['groups_field']!r}; without groups: {rule['without_groups']}"
