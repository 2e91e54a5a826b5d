"""Where the model behind `model.base` lies, and how its makers mean it to be used."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from domain_embed.contracts.errors import SettingsError
from domain_embed.settings.model import ModelSettings

PACKAGE_PREFIX = "package:"
MODEL_HINT = "model.base must be a sentence-transformers model: a hub id, a folder, or package:NAME/FOLDER"
CONFIG_FILE = "config_sentence_transformers.json"


class Prompts(NamedTuple):
    """What is put before every query and every passage."""

    query: str
    document: str


def resolve_model(base: str, folder: Path) -> str:
    """The folder or hub id behind `model.base`; relative folders count from the domain's.

    Raises SettingsError when a package or its folder is not installed, or when there can be no such path.
    """
    try:
        return _resolved(base, folder)
    except (OSError, ValueError) as error:  # too long a path, or a null byte in it
        raise SettingsError(f"model.base: {base[:80]!r} can be no path: {error}", MODEL_HINT) from None


def _resolved(base: str, folder: Path) -> str:
    if base.startswith(PACKAGE_PREFIX):
        package, _, inside = base.removeprefix(PACKAGE_PREFIX).partition("/")
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):  # a dotted name without its parent, or no name
            spec = None
        if spec is None or spec.origin is None:
            raise SettingsError(f"model.base: package {package!r} is not installed", 'pip install "domain-embed[demo]"')
        path = Path(spec.origin).parent / inside
        if Path(inside).is_absolute() or ".." in Path(inside).parts or not path.is_dir():
            raise SettingsError(f"model.base: package {package!r} has no folder {inside!r}")
        return str(path)
    local = (folder / base).resolve()
    return str(local) if local.is_dir() else base


def effective_prompts(own: Mapping[str, str | None], settings: ModelSettings) -> Prompts:
    """The settings' prompts; where they leave one open, the model's `own` of the names query and document.

    These are the names that `encode_query` and `encode_document` of sentence-transformers take where the model has no
    others; a prompt by default, or one named passage, is never taken by them.
    """
    query, document = settings.query_prompt, settings.document_prompt
    return Prompts(
        query if query is not None else own.get("query") or "",
        document if document is not None else own.get("document") or "",
    )


def with_own_prompts(settings: ModelSettings, folder: Path) -> ModelSettings:
    """The settings with the model's own prompts in place of those left open, so that their version shows them.

    They stay open where the model is not here yet and cannot be asked.

    Raises SettingsError for a model whose file of prompts cannot be read.
    """
    if settings.query_prompt is not None and settings.document_prompt is not None:
        return settings
    own = _own_prompts(resolve_model(settings.base, folder), settings.revision)
    if own is None:
        return settings
    prompts = effective_prompts(own, settings)
    values = {**dict(settings), "query_prompt": prompts.query, "document_prompt": prompts.document}
    return ModelSettings.model_construct(settings.model_fields_set, **values)


def _own_prompts(location: str, revision: str | None) -> Mapping[str, str | None] | None:
    """The prompts that a model was saved with, none where it was saved without; None where that is not known here."""
    path = Path(location) / CONFIG_FILE if Path(location).is_dir() else _from_hub(location, revision)
    if path is None:
        return None
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", "fetch the model again") from None
    return require_prompts(config.get("prompts") or {} if isinstance(config, dict) else config, str(path))


def require_prompts(prompts: Any, place: str) -> Mapping[str, str | None]:
    """The prompts, when they are texts by name. Raises SettingsError that names the place."""
    if not isinstance(prompts, Mapping) or not all(isinstance(one, str | None) for one in prompts.values()):
        raise SettingsError(f"{place}: prompts must be texts by name, not {prompts!r:.200}", "mend the file")
    return prompts


def _from_hub(name: str, revision: str | None) -> Path | None:
    """A hub model's file of prompts; a path that does not exist where it has none; None where that is not known.

    The hub is asked only for what is not in the cache: a plan must not wait for the network.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    absent = Path(name, CONFIG_FILE)
    try:
        cached = try_to_load_from_cache(name, CONFIG_FILE, revision=revision)
        if cached is not None:
            return Path(cached) if isinstance(cached, str) else absent
        return Path(hf_hub_download(name, CONFIG_FILE, revision=revision))
    except LocalEntryNotFoundError:
        return None
    except EntryNotFoundError:
        return absent
    except (OSError, HFValidationError):  # loading the model will say what is wrong
        return None
