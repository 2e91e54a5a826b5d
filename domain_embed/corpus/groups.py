"""The groups in a cell of a table, where a list has no notation of its own: what people write is read, or refused."""

import json
import re

_ATTRIBUTE = re.compile(r"\s*([A-Za-z][\w.-]*)\s*=")
_NOTATION = re.compile(r"[\[\]{}\"|\r\n\t]")
"""Of other kinds of lists: a name that holds one of these is none."""


def groups_of_cell(cell: str) -> list[str]:
    """The groups that a cell names: `hr,legal`, `hr;legal`, `["hr", "legal"]`, or one; an LDAP name is one.

    LDAP names are separated by semicolons. Empty where the cell says so, as `[]`.

    Raises ValueError for what can be read in two ways, or in none.
    """
    if cell.strip().startswith("["):
        return _of_json(cell)
    parts = [part.strip() for part in cell.split(";")]
    named = [_ATTRIBUTE.match(part) for part in parts]
    if any(named):
        kinds = {match[1].casefold() for match in named if match}
        if len(kinds) > 1 or any("=" in part for part, match in zip(parts, named, strict=True) if not match):
            raise ValueError("LDAP names that begin differently")
    if len(parts) == 1 and not any(named):
        parts = [part.strip() for part in cell.split(",")]
    elif any("," in part for part, match in zip(parts, named, strict=True) if not match):
        raise ValueError("both commas and semicolons")
    groups = [part for part in parts if part]
    if not groups or any(_NOTATION.search(group) for group in groups):
        raise ValueError("neither one group nor a list of groups")
    if len(parts) > 1 and not any(named) and any("=" in group for group in groups):
        raise ValueError("LDAP names between other groups")
    return groups


def _of_json(cell: str) -> list[str]:
    try:
        groups = json.loads(cell)
    except (ValueError, RecursionError):
        raise ValueError("no list in JSON") from None
    if not all(isinstance(group, str) and group.strip() for group in groups):
        raise ValueError("a list in JSON of something else than names")
    return [group.strip() for group in groups]
