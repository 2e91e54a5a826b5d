"""The query log as a table: one row a search, with what was clicked and said about it."""

import json
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = ("search_id", "day", "query", "filtered", "group", "system", "passage_ids", "scores", "clicked", "helpful")


def finished_days(folder: Path, today: date, days: int | None = None) -> list[Path]:
    """The daily files of days before `today` (UTC), oldest first; only the newest `days` when given.

    A file belongs to the day its name begins with; others are no part of the log. No folder yet is no file yet.
    """
    found = sorted(path for path in folder.glob("*.jsonl") if (day := _day_of(path)) is not None and day < today)
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
            case {"event": "search", "search_id": str(name), "query": str(), "time": str(), "results": list()}:
                searches.setdefault(name, event)
            case {"event": "click", "search_id": str(name), "passage_id": passage_id}:
                clicks.setdefault(name, set()).add(str(passage_id))
            case {"event": "feedback", "search_id": str(name), "helpful": bool(helpful)}:
                opinions[name] = helpful
            case _:
                damaged += 1
    rows = [_row(event, clicks.get(name, set()), opinions.get(name)) for name, event in searches.items()]
    rows.sort(key=lambda row: (row["day"], row["search_id"]))
    return pd.DataFrame(rows, columns=list(COLUMNS)), damaged


def _events(paths: Iterable[Path]) -> Iterator[Any]:
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError:
                        yield None


def _row(event: dict[str, Any], clicked: set[str], helpful: bool | None) -> dict[str, Any]:
    results = [one for one in event["results"] if isinstance(one, dict) and "passage_id" in one]
    return {
        "search_id": event["search_id"],
        "day": event["time"][:10],
        "query": event["query"],
        "filtered": bool(event.get("filters")),
        "group": event.get("group"),
        "system": event.get("system"),
        "passage_ids": [str(one["passage_id"]) for one in results],
        "scores": [float(one.get("score") or 0.0) for one in results],
        "clicked": clicked,
        "helpful": helpful,
    }
