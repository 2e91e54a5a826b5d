"""What several commands are asked in the same words."""

from typing import Annotated

import typer

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

Name = Annotated[str, typer.Argument(help="The domain: a folder of DOMAIN_EMBED_HOME.", metavar="NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, nothing else.")]
