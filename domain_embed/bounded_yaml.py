"""YAML of the size that people write: what nests too deeply, or stands for far more than is written, is refused unread.

libyaml builds values by recursion in C, without a limit: 60,000 opening brackets end the process. Aliases let a few
hundred characters stand for gigabytes. Both are seen in the stream of events, before anything is built.
"""

from dataclasses import dataclass
from typing import Any

import yaml

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 100
OPENING = "[{-?\n"
"""Every level of nesting takes one of these: with few of them, and without anchors, there is nothing to look for."""
MAX_EXPANDED = 1 << 22
"""Characters and values with every alias written out: more than four times the longest text."""
MAX_DIGITS = 100
SHOWN_CHARACTERS = 300
_BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""By libyaml where it is there: ten times as fast, which counts for `plan` over many domains."""


class _Loader(_BASE):  # type: ignore[misc, valid-type]
    """Numbers of more digits than any quantity has are refused: base 60 takes quadratic time for them."""


def _short_number(construct: Any) -> Any:
    def constructed(loader: Any, node: Any) -> Any:
        if len(node.value) > MAX_DIGITS:
            raise ValueError("a number has too many digits")
        return construct(loader, node)

    return constructed


_Loader.add_constructor("tag:yaml.org,2002:int", _short_number(_BASE.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _short_number(_BASE.construct_yaml_float))


class _UniqueLoader(_Loader):
    """A key that occurs twice in one mapping is refused: of two settings one would be dropped without a word."""


def _unique_keys(loader: Any, node: Any) -> Any:
    keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
    if twice is not None:
        line = node.start_mark.line + 1
        raise ValueError(f"the key {twice[1]!r} occurs twice, in the part that begins in line {line}")
    return loader.construct_yaml_map(node)


_UniqueLoader.add_constructor("tag:yaml.org,2002:map", _unique_keys)


def load_yaml(text: str, *, unique_keys: bool = False) -> Any:
    """The content of a YAML document; of a key that occurs twice the last value counts, or none with `unique_keys`.

    Raises ValueError that says in a line or two what is wrong.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it holds {len(text):,} characters, more than {MAX_CHARACTERS:,}")
    try:
        if "&" in text or sum(map(text.count, OPENING)) >= MAX_DEPTH:
            _require_bounded(text)
        return yaml.load(text, Loader=_UniqueLoader if unique_keys else _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(str(error)[:SHOWN_CHARACTERS]) from None
    except RecursionError:
        raise ValueError("a value is a part of itself") from None
    except (TypeError, LookupError, AttributeError, ArithmeticError):  # what PyYAML lets through of `!!int x`
        raise ValueError("a value does not fit its tag") from None


@dataclass
class _Value:
    """What is known of a value: how many characters and values it stands for, and how deep it goes."""

    anchor: str | None
    size: int = 1
    depth: int = 1


def _require_bounded(text: str) -> None:
    """Raises ValueError for too much nesting, and for aliases that stand for too much."""
    known: dict[str, _Value] = {}
    around = [_Value(None)]
    for event in yaml.parse(text, Loader=_BASE):
        match event:
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                around.append(_Value(event.anchor))
                if len(around) > MAX_DEPTH:
                    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
                continue
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                value = around.pop()
            case yaml.ScalarEvent():
                value = _Value(event.anchor, 1 + len(event.value))
            case yaml.AliasEvent():  # of a value that is not known, it is a part: that is a loop, and no growth
                value = known.get(event.anchor or "", _Value(None))
            case _:
                continue
        if value.anchor is not None:
            known[value.anchor] = value
        outer = around[-1]
        outer.size, outer.depth = outer.size + value.size, max(outer.depth, value.depth + 1)
        if outer.size > MAX_EXPANDED or outer.depth > MAX_DEPTH:
            raise ValueError("its aliases stand for far more than is written")
