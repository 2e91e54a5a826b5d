"""Metadata as every vector store can hold it: JSON with sorted keys, of the types the settings ask for."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from domain_embed.contracts.errors import excerpt

if TYPE_CHECKING:  # a worker process starts without the settings
    from domain_embed.settings import MetadataType

MAX_VALUES = 10_000
"""Of one document, nested ones included: a few lines of YAML with aliases can stand for billions."""

BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_Scalar: TypeAlias = str | int | float | bool


def path_metadata(path: str, patterns: Sequence[str]) -> dict[str, str]:
    """The named groups of regular expressions found in a path; a pattern that is not found gives nothing."""
    found = (re.search(pattern, path) for pattern in patterns)
    return {name: value for match in found if match for name, value in match.groupdict().items() if value is not None}


def merged(of_path: Mapping[str, Any], of_file: Mapping[Any, Any], from_path_first: str | None) -> dict[Any, Any]:
    """The metadata of a document: what the file says wins, but for one key of which its path has the last word.

    That is the key of its groups: who may put a file into a folder may not always say who reads it.
    """
    last = {key: of_path[key] for key in of_path if key == from_path_first}
    return {**of_path, **of_file, **last}


def encode_metadata(values: Mapping[Any, Any], types: "Mapping[str, MetadataType]") -> str:
    """A JSON object with sorted keys. Dates and times become YYYY-MM-DD; `types` are applied to the outermost keys.

    A list is converted item by item; null stays null.

    Raises:
        ValueError: For a key or a value that cannot be kept, and why.
    """
    try:
        kept = _plain(values, iter(range(MAX_VALUES)))
        for name, kind in types.items():
            if kept.get(name) is not None:
                kept[name] = _converted(name, kept[name], kind)
        encoded = json.dumps(kept, sort_keys=True, ensure_ascii=False, allow_nan=False)
        encoded.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the metadata holds an unpaired surrogate, not text") from None
    except RecursionError:
        raise ValueError("the metadata is nested too deeply") from None
    return encoded


def _plain(value: Any, left: Iterator[int]) -> Any:
    """The value in JSON's own types; `left` counts how many more values are allowed."""
    if next(left, None) is None:
        raise ValueError(f"the metadata holds more than {MAX_VALUES:,} values")
    match value:
        case None | str() | bool() | int():
            return value
        case float() | Decimal():
            if not math.isfinite(value):
                raise ValueError("the metadata holds NaN or infinity")
            return float(value)
        case datetime():
            return value.date().isoformat()
        case date():
            return value.isoformat()
        case Mapping():
            return {_key(key): _plain(item, left) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, left) for item in value]
    raise ValueError(f"the metadata holds a value of type {type(value).__name__}, which cannot be kept")


def _key(key: Any) -> str:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise ValueError(f"the metadata key {key!r} is no text")
    if '"' in str(key):
        raise ValueError(f"the metadata key {key!r} holds a quotation mark, and no filter could name it")
    return str(key)


def _converted(name: str, value: Any, kind: "MetadataType") -> Any:
    if isinstance(value, list):
        return [_converted(name, item, kind) for item in value]
    try:
        if isinstance(value, dict):
            raise ValueError
        return _CONVERTERS[kind](value)
    except (ValueError, OverflowError):
        raise ValueError(f"metadata {name!r} cannot be read as {kind}: {excerpt(f'{value!r:.80}')}") from None


def _to_str(value: _Scalar) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _to_int(value: _Scalar) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _to_float(value: _Scalar) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError
    return number


def _to_bool(value: _Scalar) -> bool:
    folded = str(value).strip().casefold()
    if folded not in BOOLEANS:
        raise ValueError
    return BOOLEANS[folded]


def _to_date(value: _Scalar) -> str:
    return datetime.fromisoformat(str(value).strip()).date().isoformat()


_CONVERTERS: "dict[MetadataType, Callable[[_Scalar], _Scalar]]" = {
    "str": _to_str,
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "date": _to_date,
}
