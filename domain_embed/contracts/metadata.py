"""Metadata of passages: which of it can be filtered on, and when two are equal."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from domain_embed.contracts.filters import UNNAMEABLE, is_iso_date

_FILTERABLE = {"str", "int", "float", "bool", "date"}
_MERGED = {frozenset({"int", "float"}): {"float"}, frozenset({"str", "date"}): {"str"}}


def types_of(metadata: Iterable[Mapping[str, Any]], groups_field: str | None = None) -> dict[str, str]:
    """The type of each key that can be filtered on: "str", "int", "float", "bool" or "date".

    A key can when its values are scalars, or lists of scalars, of one type; whole and broken numbers count as "float",
    texts that are all of the form YYYY-MM-DD as "date". "a.b" is the key b of the object under a. `groups_field` is
    "str" as soon as one of its values is a text: groups are texts, whatever else a few passages hold there.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    for one in metadata:
        for key, value in _flat(one):
            seen[key].update(_type_name(part) for part in (value if isinstance(value, list) else [value]))
    types = {key: found - {"NoneType"} for key, found in seen.items()}
    if groups_field in types and types[groups_field] & {"str", "date"}:
        types[groups_field] = {"str"}
    merged = {key: _MERGED.get(frozenset(found), found) for key, found in types.items()}
    return {key: next(iter(found)) for key, found in sorted(merged.items()) if len(found) == 1 and found <= _FILTERABLE}


def metadata_hash(metadata: Mapping[str, Any]) -> str:
    """Equal for equal metadata, whatever the order of keys and however a store writes a number: 32 hex digits."""
    canonical = json.dumps(_plain(metadata), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """Stores keep numbers as 64 bits: beyond them a whole number is a float, and a float's last digit may differ."""
    if isinstance(value, bool) or not isinstance(value, int | float | Mapping | list | tuple):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return value
    return ["float", f"{float(value):.12g}"]


def _flat(metadata: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its value, those of nested objects behind their object's key and a dot."""
    for key, value in metadata.items():
        if {".", *UNNAMEABLE} & set(key):  # no filter could name it: a dot would lead into an object
            continue
        yield prefix + key, value
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")


def _type_name(value: Any) -> str:
    return "date" if isinstance(value, str) and is_iso_date(value) else type(value).__name__
