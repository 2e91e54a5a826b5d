"""What every settings section is.

A section's hash is part of the code version of the assets it governs, so an edit makes exactly those stale.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


@dataclass(frozen=True)
class Added:
    """On a setting that came after its section had been used: with the value `as_before` all is as it was without it.

    With that value it is no part of the section's content, so that its coming makes nobody's work stale:
    `depth: Annotated[int, Added(as_before=10)] = 10`. A default that changes what is made differs from `as_before`.
    """

    as_before: Any


@dataclass(frozen=True)
class Removed:
    """What is left of a setting that is gone: the value that holds for everybody now, and why there is no other.

    It stays a part of the section's content, so that its going makes nobody's work stale, and a file may still give it.
    """

    always: Any
    why: str


class Section(BaseModel):
    """One part of domain.yaml: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
    removed: ClassVar[Mapping[str, Removed]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_removed(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        for name in cls.removed.keys() & given.keys():
            gone = cls.removed[name]
            if given[name] != gone.always:
                raise ValueError(f"{name} is no longer a setting, leave it out: {gone.why}")
        return {name: value for name, value in given.items() if name not in cls.removed}

    def content(self) -> dict[str, Any]:
        """The settings as JSON has them, without those that were added and say what held before."""
        content: dict[str, Any] = _content(self, self.model_dump(mode="json"))
        return content

    def version(self) -> str:
        """Hash of the content, equal for equal settings however they were written down."""
        canonical = json.dumps(self.content(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def changes(self, before: Mapping[str, Any]) -> list[str]:
        """What is other than in an earlier `content`, in words; whether somebody set it, or its default has changed."""
        return list(_changes(self, self.content(), before, ""))


def _content(value: Any, dumped: Any) -> Any:
    if isinstance(value, Section):
        kept = (name for name in type(value).model_fields if not _is_as_before(value, name))
        gone = {name: one.always for name, one in type(value).removed.items()}
        return {name: _content(getattr(value, name), dumped[name]) for name in kept} | gone
    if isinstance(value, tuple):
        return [_content(*pair) for pair in zip(value, dumped, strict=True)]
    return dumped


def _is_as_before(section: Section, name: str) -> bool:
    marks = (mark for mark in type(section).model_fields[name].metadata if isinstance(mark, Added))
    return any(getattr(section, name) == mark.as_before for mark in marks)


def _changes(section: Section, now: Mapping[str, Any], before: Mapping[str, Any], place: str) -> Iterator[str]:
    for name in dict.fromkeys((*now, *before)):
        value, old, new = getattr(section, name, None), before.get(name), now.get(name)
        if old == new and (name in now) == (name in before):
            continue
        if isinstance(value, Section) and isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(value, new, old, f"{place}{name}.")
            continue
        was = f", was {json.dumps(old, ensure_ascii=False)}" if name in before else ""
        told = json.dumps(new, ensure_ascii=False) if name in now else "as it was before there was this setting"
        set_by_hand = name in section.model_fields_set
        yield f"{place}{name} is {told}{was}" if set_by_hand else f"the default of {place}{name} is now {told}{was}"
