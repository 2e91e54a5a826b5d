"""Fine-tune, re-embed, prove and promote an embedding model for one domain."""

import os
from typing import TYPE_CHECKING, Any

# OpenMP's threads spin while they wait for each other. Where other programs use the cores, too, the thread that is
# waited for may not even be running: training was seen at a fifteenth of its speed beside other work, with this at a
# fifth, and unchanged on a quiet machine. It is read when torch is loaded, so it stands before any import of it.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from domain_embed.contracts.logs import protect_logger
from domain_embed.monitoring.log_writer import log_click, log_feedback, log_query

if TYPE_CHECKING:
    from domain_embed.serving import Searcher

__all__ = ["Searcher", "log_click", "log_feedback", "log_query"]


protect_logger()


def __getattr__(name: str) -> Any:
    """Loads the search interface when it is first asked for: commands that do not search start without it."""
    if name == "Searcher":
        from domain_embed.serving import Searcher

        return Searcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
