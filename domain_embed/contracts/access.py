"""Who may see which passage: one rule, for whoever asks, be it a person's search or a language model."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

WithoutGroups = Literal["nobody", "everybody"]
NOBODY = "domain-embed: nobody"
"""The group of a passage whose groups could not be read. Nobody is in it, whatever groups a caller says they have."""


@dataclass(frozen=True)
class AccessRule:
    """Passages belong to the groups that a metadata key names, as a text or a list of texts.

    A dot in the key reaches into a nested object. A passage that names no group is for nobody, or for everybody; one
    whose key holds anything but texts is for nobody: what it was meant to say is not known.
    """

    groups_field: str
    without_groups: WithoutGroups = "nobody"

    def named_groups(self, metadata: Mapping[str, Any]) -> list[str] | None:
        """The groups a passage names, none where it names none; None where what it says cannot be understood."""
        if "." in self.groups_field and self.groups_field in metadata:
            return None  # a key with a dot of its own: no store can filter on it
        found: Any = metadata
        for part in self.groups_field.split("."):
            if found is None:
                return []
            if not isinstance(found, Mapping):
                return None
            found = found.get(part)
        if isinstance(found, str):
            return [found]
        if found is None:
            return []
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
        return None

    def shows(self, metadata: Mapping[str, Any], groups: Collection[str]) -> bool:
        """Whether a member of these groups may see the passage."""
        named = self.named_groups(metadata)
        if named is None:
            return False
        return any(group in groups for group in named) if named else self.without_groups == "everybody"

    @property
    def notice(self) -> str:
        """What stands on everything that holds passages, or is made of them, and leaves the search."""
        return (
            f"Confidential: made of passages that members of some groups only may see (access.groups_field: "
            f"{self.groups_field}). Keep it from everybody else."
        )

    def to_json(self) -> dict[str, str]:
        """Plain values; `AccessRule(**values)` gives an equal rule back."""
        return asdict(self)

    def __str__(self) -> str:
        return f"groups_field {self.groups_field!r}, without_groups {self.without_groups}"
