"""Prompts for language models: templates in files, with the version of their text."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Self

from domain_embed.contracts.errors import SettingsError

PACKAGED = "prompts/query_v1.txt"
NO_EXAMPLES = "(none)"


@dataclass(frozen=True)
class Template:
    """A text with fields in braces, like {text}; other braces mean themselves."""

    template: str

    @classmethod
    def load(
        cls, setting: str, name: str | None, folder: Path, packaged: Traversable, needed: Mapping[str, str]
    ) -> Self:
        """The file `name` in `folder`, or the packaged one for None.

        Args:
            setting: The key of domain.yaml that names the file.
            name: Relative to `folder`.
            folder: The domain's.
            packaged: A file of this package.
            needed: Fields it must have, with what goes there.

        Raises:
            SettingsError: It cannot be read, or a field is missing; names the setting.
        """
        if name is None:
            return cls(packaged.read_text("utf-8"))
        path = folder / name
        try:
            template = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{setting}: {path} cannot be read: {error}") from None
        for field, what in needed.items():
            if f"{{{field}}}" not in template:
                raise SettingsError(f"{setting}: {path} has no {{{field}}}, where the {what} goes")
        return cls(template)

    @property
    def version(self) -> str:
        """8 hex digits of a hash of the template."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:8]

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with these values by field. What looks like a field inside a value stays as it is."""
        field = re.compile(rf"\{{({'|'.join(values)})\}}")
        return field.sub(lambda found: values[found[1]], self.template)


class Prompt(Template):
    """What asks for queries: a template with {title}, {text}, {count} and {examples}."""

    @classmethod
    def read(cls, name: str | None, folder: Path) -> Self:
        """The file `name` in `folder`, or the packaged one for None.

        Raises SettingsError when it cannot be read, or does not say where the passage's text goes.
        """
        packaged = resources.files("domain_embed.judgments").joinpath(PACKAGED)
        return cls.load("synthetic.prompt", name, folder, packaged, {"text": "passage"})

    def fill(self, title: str, text: str, count: int, examples: Sequence[str]) -> str:
        """The prompt for one passage."""
        listed = "\n".join(f"- {example}" for example in examples) or NO_EXAMPLES
        return self.filled({"title": title, "text": text, "count": str(count), "examples": listed})
