"""The command on who did what."""

from dataclasses import asdict
from typing import Annotated

import typer

from domain_embed.commands.options import AsJson
from domain_embed.console import print_json
from domain_embed.printing.serving import print_audit

app = typer.Typer()


@app.command()
def audit(
    name: Annotated[str | None, typer.Argument(help="Only this domain.", metavar="[NAME]")] = None,
    as_json: AsJson = False,
) -> None:
    """List who changed what serves or may be seen, when, and why: promotions, rollbacks, removals. Oldest first.

    Domains that are no longer there are listed, too.
    """
    from domain_embed.audit import AuditTrail
    from domain_embed.settings import Environment
    from domain_embed.stores.workspace import STORE_FOLDER

    lines = list(AuditTrail(Environment.read().home / STORE_FOLDER).read(name))
    if as_json:
        print_json({"deeds": [asdict(line) for line in lines]})
    else:
        print_audit(lines)
