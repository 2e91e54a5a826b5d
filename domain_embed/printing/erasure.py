"""What the erasing command prints."""

from typing import TYPE_CHECKING

from domain_embed.console import console, print_bullets

if TYPE_CHECKING:
    from domain_embed.erasure.outcome import Outcome


def print_erasure(outcome: "Outcome") -> None:
    """What went, what is not the product's to remove, and what is left to do."""
    what = ", ".join(outcome.documents) or f"everything made of {outcome.domain}"
    console.print("would be removed:" if outcome.dry else "removed:", what, markup=False, highlight=False)
    print_bullets(outcome.removed or ["nothing: it was not there"])
    if outcome.not_reached:
        console.print("not reached:")
        print_bullets(f"{one.what}: {one.where}; {one.how}" for one in outcome.not_reached)
    if not outcome.finished:
        console.print("not finished, the same command goes on:", style="bold red")
        print_bullets([*outcome.failed, *(f"{place} still holds it" for place in outcome.still_held)])
