"""What may be called how: a domain's name, and the names of what is stored for it, become parts of paths."""

import re
from pathlib import Path

from domain_embed.contracts.errors import SettingsError

MAX_CHARACTERS = 64
"""A name is part of longer ones: of asset keys, collections on a server, models in a registry, lock files."""

# Without re.ASCII, ignoring case lets the long s and the Kelvin sign in. Windows keeps the names of devices for itself.
_DOMAIN = re.compile(
    rf"(?!(?:con|prn|aux|nul|com\d|lpt\d)\Z)[a-z0-9][a-z0-9_-]{{0,{MAX_CHARACTERS - 1}}}", re.ASCII | re.IGNORECASE
)
_STORED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,199}")


def is_domain_name(name: str) -> bool:
    """Whether a domain may be called so."""
    return _DOMAIN.fullmatch(name) is not None


def require_domain_name(name: str) -> str:
    """The name, if a domain may be called so: it is a folder, an asset key, a prefix on servers and part of filters.

    Raises SettingsError for another one, be it asked for or that of a folder that is there.
    """
    if not is_domain_name(name):
        shown = name if len(name) <= MAX_CHARACTERS else name[: MAX_CHARACTERS - 1] + "…"
        raise SettingsError(
            f"a domain cannot be called {shown!r}",
            f"a name is at most {MAX_CHARACTERS} of the letters a to z and A to Z, digits, _ and -, begins with a "
            "letter or digit, and is no device of Windows. To keep what was made of a domain that is called so, "
            "rename its folder, and the folder of the same name in .store/domains, and in DOMAIN_EMBED_STORAGE where "
            "that is set",
        )
    return name


def one_name(first: str, second: str) -> bool:
    """Whether two domains cannot be told apart everywhere: Dagster knows no hyphen, and some file systems no case."""
    return first.replace("-", "_").casefold() == second.replace("-", "_").casefold()


def stored_in(folder: Path, name: str, what: str) -> Path:
    """Where something of this name lies directly in `folder`; `what` it is, for the error.

    Raises SettingsError for a name that would lead elsewhere.
    """
    if not _STORED.fullmatch(name):
        raise SettingsError(f"{what} cannot be called {name[:MAX_CHARACTERS]!r}", "name one that was made here")
    return folder / name
