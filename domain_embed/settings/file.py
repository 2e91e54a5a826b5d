"""domain.yaml as a file: read with errors that name the key, written with comments, described to editors."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, get_args

import yaml
from pydantic import BaseModel, ValidationError

from domain_embed.bounded_yaml import load_yaml
from domain_embed.contracts.errors import SettingsError
from domain_embed.files import open_regular
from domain_embed.settings.domain import DomainSettings
from domain_embed.settings.section import Section

SETTINGS_FILE = "domain.yaml"
MAX_BYTES = 1 << 20
"""More than any person writes: the default file, with all its comments, has some 20,000."""
SettingsStamp: TypeAlias = tuple[int, int, int, int]
_NAMES_GROUPS = re.compile(r"^[^#\n]*groups_field[\"']?\s*:(?![ \t]*(?:null\b|~))", re.MULTILINE | re.IGNORECASE)


def read_settings(path: Path) -> DomainSettings:
    """Reads one domain.yaml; an error names the file, the key and what is allowed."""
    try:
        content = load_yaml(_read(path), unique_keys=True)
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist", "make a domain with `domain-embed init NAME`") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}", "it must be a file, and readable") from None
    except ValueError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict | None):
        raise SettingsError(f"{path} must hold keys and values, not a {type(content).__name__}")
    try:
        return DomainSettings.model_validate(content or {})
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(problem)}" for problem in error.errors() if not _is_echo(problem))
        raise SettingsError(f"{path} has settings that cannot be used:\n{problems}") from None


def _read(path: Path) -> str:
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{path} holds more than {MAX_BYTES:,} bytes: these are no settings")
    return content.decode()


def settings_stamp(path: Path) -> SettingsStamp | None:
    """Changes whenever the file does, also where its time was set back; None where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def may_name_groups(path: Path) -> bool:
    """Whether a file that cannot be used gives `groups_field` some value, wherever it stands; False without a file.

    One that cannot be read may.
    """
    try:
        return _NAMES_GROUPS.search(path.read_bytes().decode(errors="replace")) is not None
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _is_echo(problem: Mapping[str, Any]) -> bool:
    """Pydantic counts a list whose items failed as too short, too; the items have said what is wrong."""
    return problem["type"] == "too_short" and len(problem["input"]) > 0


def _describe(problem: Mapping[str, Any]) -> str:
    """One validation problem in words: the dotted key, what is wrong, what is allowed."""
    place = ".".join(_place(problem["loc"])[0])
    if problem["type"] != "extra_forbidden":
        given = "" if problem["type"] in ("missing", "value_error") else f" (given: {problem['input']!r})"
        return f"{place}: {problem['msg']}{given}".lstrip(": ")
    allowed = list(_place(problem["loc"][:-1])[1].model_fields)
    close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"{place}: unknown key.{meant} Allowed: {', '.join(allowed)}"


def _place(location: tuple[str | int, ...]) -> tuple[list[str], type[BaseModel]]:
    """The keys that lead to a validation error, and the section there.

    In pydantic's location, members of a union stand by their tag, which is the value of `kind` and no key.
    """
    keys: list[str] = []
    section: type[BaseModel] = DomainSettings
    members: list[Any] = []
    for part in location:
        tagged = [member for member in members if _tag(member) == part]
        if tagged:
            section, members = tagged[0], []
            continue
        keys.append(str(part))
        if part in section.model_fields:
            leaves = _leaves(section.model_fields[str(part)].annotation)
            members = [leaf for leaf in leaves if _is_model(leaf)]
            section = members[0] if members else section
    return keys, section


def _tag(member: type[BaseModel]) -> object:
    return member.model_fields["kind"].default if "kind" in member.model_fields else None


def _leaves(annotation: Any) -> list[Any]:
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    return [leaf for argument in arguments for leaf in _leaves(argument)] if arguments else [annotation]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def json_schema() -> dict[str, Any]:
    """The JSON schema of domain.yaml, for editors."""
    schema = DomainSettings.model_json_schema()
    for section in schema["$defs"].values():
        if "kind" in section.get("properties", {}):  # a default to pydantic, but without it no member is chosen
            section["required"] = ["kind", *section.get("required", [])]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "domain-embed domain.yaml",
        **schema,
    }


def render_yaml(settings: DomainSettings) -> str:
    """The settings as a commented domain.yaml; reading it back gives equal settings."""
    lines = [
        "# Settings of one domain. Every key is optional: what stands here is what applies.",
        "# An edit makes only the assets of its section stale: see `domain-embed plan`.",
        "",
    ]
    for name, field in DomainSettings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Section):
            lines += [*_comment(type(value).__doc__ or ""), f"{name}:", *_render_section(value), ""]
        else:
            lines += [*_comment(field.description or ""), _entry(name, value), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _render_section(section: Section) -> list[str]:
    """The entries of a section, those of a section within it deeper still."""
    rows = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            entry = [f"{name}:", *_render_section(value)]
        else:
            entry = _entry(name, section.model_dump(mode="json")[name]).splitlines()
        rows += [f"  {row}" for row in (*_comment(field.description or ""), *entry)]
    return rows


def _entry(name: str, value: Any) -> str:
    entry = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=110)
    if len(entry.splitlines()) != entry.count("\n"):  # a line break of Unicode's own: it survives only escaped
        entry = yaml.safe_dump({name: value}, sort_keys=False, width=110)
    return entry.removesuffix("\n")


def _comment(text: str) -> list[str]:
    return [f"# {row.strip()}" for row in text.strip().splitlines()]
