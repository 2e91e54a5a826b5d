"""Which pairs of query and passage people were asked about: about others, nobody has a decision to make.

They are kept beside the decisions, as hashes: the file tells nothing of what it is about. Where there is none yet, as
in a folder older than this, every decision that is there holds; with the first question its pair counts as asked, too.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import normalized_query
from domain_embed.files import replace_file

Identity: TypeAlias = tuple[str, str]
"""Query text, case and white space folded, and passage id: what is decided once."""

HEADER = "# The pairs of query and passage that people were asked about; decisions about others are refused."
_PAIR = re.compile(r"[0-9a-f]{32}")


def asked_file(decisions: Path) -> Path:
    """Where it is kept for a file of decisions."""
    return decisions.with_suffix(".asked")


def hashed(pair: Identity) -> str:
    """The pair as it is kept; case and white space of the query do not count."""
    query, passage_id = pair
    return hashlib.sha256(json.dumps([normalized_query(query), passage_id]).encode()).hexdigest()[:32]


def read_asked(decisions: Path) -> frozenset[str] | None:
    """The hashes of all pairs that were asked about; None where nobody has kept count.

    Raises InputError for a line that is none, and for a file that cannot be read.
    """
    path = asked_file(decisions)
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#") and not _PAIR.fullmatch(line):
            raise InputError.at(path, "this is no pair that was asked about", line=number, hint="take the line out")
    return frozenset(line for line in lines if not line.startswith("#"))


def write_asked(decisions: Path, known: frozenset[str] | None, pairs: Iterable[Identity]) -> None:
    """Adds pairs to those that are known; what is written is sorted, so that two versions of the file merge.

    Raises StoreError when it cannot be written.
    """
    together = (known or frozenset()) | {hashed(pair) for pair in pairs}
    if together != known:
        replace_file(asked_file(decisions), "\n".join([HEADER, *sorted(together)]) + "\n")
