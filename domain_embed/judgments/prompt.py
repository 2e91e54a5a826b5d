"""The prompt that asks a language model for queries: a template in a file, with the version of its text."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from domain_embed.contracts.errors import SettingsError

PACKAGED = "prompts/query_v1.txt"
NO_EXAMPLES = "(none)"
_FIELD = re.compile(r"\{(title|text|count|examples)\}")


@dataclass(frozen=True)
class Prompt:
    """A template with {title}, {text}, {count} and {examples}; other braces mean themselves."""

    template: str

    @classmethod
    def read(cls, name: str | None, folder: Path) -> "Prompt":
        """The file `name` in `folder`, or the packaged one for None.

        Raises SettingsError when it cannot be read, or does not say where the passage's text goes.
        """
        if name is None:
            return cls(resources.files("domain_embed.judgments").joinpath(PACKAGED).read_text("utf-8"))
        path = folder / name
        try:
            template = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"synthetic.prompt: {path} cannot be read: {error}") from None
        if "{text}" not in template:
            raise SettingsError(f"synthetic.prompt: {path} has no {{text}}, where the passage goes")
        return cls(template)

    @property
    def version(self) -> str:
        """8 hex digits of a hash of the template."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:8]

    def fill(self, title: str, text: str, count: int, examples: Sequence[str]) -> str:
        """The prompt for one passage. What looks like a field inside the passage stays as it is."""
        values = {
            "title": title,
            "text": text,
            "count": str(count),
            "examples": "\n".join(f"- {example}" for example in examples) or NO_EXAMPLES,
        }
        return _FIELD.sub(lambda field: values[field[1]], self.template)
