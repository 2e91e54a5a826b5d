"""The query log as a table: one row a search, with what was clicked and said about it."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from domain_embed.corpus.lines import parse_json, read_lines

MAX_LINE_BYTES = 1 << 22
"""A search with its hundred results has some ten thousand."""
COLUMNS = ("search_id", "day", "query", "filtered", "group", "system", "passage_ids", "scores", "clicked", "helpful")


def finished_days(folder: Path, today: date, days: int | None = None) -> list[Path]:
    """The daily files of days before `today` (UTC), oldest first; only the newest `days` when given.

    A file belongs to the day its name begins with; others are no part of the log. No folder yet is no file yet.
    """
    found = sorted(
        path for path in folder.glob("*.jsonl") if (day := _day_of(path)) is not None and day < today and path.is_file()
    )
    return found if days is None else [p for p in found if (today - (_day_of(p) or today)).days <= days]


def _day_of(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.name[:10])
    except ValueError:
        return None


def read_query_log(paths: Iterable[Path]) -> tuple[pd.DataFrame, int]:
    """One row a search, in the order of time, and the number of lines that could not be used.

    Columns: search_id, day (ISO), query, filtered (whether filters narrowed it), group, system, passage_ids (list),
    scores (list), clicked (set of passage ids), helpful (True, False or None). A click or an opinion counts for its
    search wherever it stands in the files; a search that is logged twice counts once.
    """
    searches: dict[str, dict[str, Any]] = {}
    clicks: dict[str, set[str]] = {}
    opinions: dict[str, bool] = {}
    damaged = 0
    for event in _events(paths):
        match event:
            case {"event": "search", "search_id": str(name)} if (row := _row(event)) is not None:
                searches.setdefault(name, row)
            case {"event": "click", "search_id": str(name), "passage_id": passage_id}:
                clicks.setdefault(name, set()).add(str(passage_id))
            case {"event": "feedback", "search_id": str(name), "helpful": bool(helpful)}:
                opinions[name] = helpful
            case _:
                damaged += 1
    for name, row in searches.items():
        row |= {"clicked": clicks.get(name, set()), "helpful": opinions.get(name)}
    rows = sorted(searches.values(), key=lambda row: (row["day"], row["search_id"]))
    return pd.DataFrame(rows, columns=list(COLUMNS)), damaged


def _events(paths: Iterable[Path]) -> Iterator[Any]:
    """The values on the lines of the files; None for a line that holds none."""
    for path in paths:
        for _, line in read_lines(path):
            yield _event(line.decode("utf-8", errors="replace")) if len(line) <= MAX_LINE_BYTES else None


def _event(line: str) -> Any:
    try:
        event = parse_json(line)
        if "\\u" in line:  # an unpaired surrogate may come of it, and no table takes one
            json.dumps(event, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return event


def _row(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """A search as a row, without what came of it; None when one of its fields is not what it should be."""
    match event:
        case {"search_id": name, "query": str(query), "time": str(time), "results": [*found]}:
            results = [one for one in found if isinstance(one, dict) and "passage_id" in one]
            scores = [_score(one.get("score")) for one in results]
            if _is_day(time[:10]) and None not in scores:
                return {
                    "search_id": name,
                    "day": time[:10],
                    "query": query,
                    "filtered": bool(event.get("filters")),
                    "group": event.get("group"),
                    "system": event.get("system"),
                    "passage_ids": [str(one["passage_id"]) for one in results],
                    "scores": scores,
                }
    return None


def _score(value: Any) -> float | None:
    """A finite number, 0 where none is given; None for anything else."""
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        score = float(value)
    except OverflowError:
        return None
    return score if math.isfinite(score) else None


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
