"""The composition root: settings and environment to Dagster definitions; what workspace.yaml loads."""

from collections.abc import Mapping, Sequence

import dagster as dg

from domain_embed.contracts.errors import DomainEmbedError, SettingsError
from domain_embed.defs.assets import Stores, build_asset
from domain_embed.defs.automation import build_automation
from domain_embed.defs.broken import broken_domains
from domain_embed.defs.checks import build_checks
from domain_embed.defs.data import domain_group, source_specs
from domain_embed.defs.graph import RECIPES
from domain_embed.settings import DomainSettings, Environment


def build_definitions(
    environment: Environment,
    domains: Sequence[str] | None = None,
    resource_overrides: Mapping[str, object] | None = None,
) -> dg.Definitions:
    """The asset graphs of the given domains, or of all in home, with everything they need.

    Of all domains, one whose settings cannot be used shows as an error and hides no other. Domains asked for by name
    raise SettingsError instead.
    """
    names = environment.domains() if domains is None else domains
    built, errors = _build_domains(environment, names, strict=domains is not None)
    return dg.Definitions.merge(
        dg.Definitions(
            resources={"stores": Stores.of(environment), **(resource_overrides or {})},
            # One process per run: importing the model libraries once costs seconds, once per asset a minute.
            executor=dg.in_process_executor,
        ),
        broken_domains(errors),
        *built,
    )


def _build_domains(
    environment: Environment, names: Sequence[str], *, strict: bool
) -> tuple[list[dg.Definitions], dict[str, str]]:
    """The domains that can be loaded together, and what is wrong with each of the others."""
    built, errors, taken = [], {}, dict[str, str]()
    for name in names:
        first = taken.setdefault(domain_group(name, ""), name)
        try:
            if first != name:
                raise SettingsError(f"{name!r} and {first!r} are one name to Dagster", "rename a folder")
            built.append(_domain(name, environment.settings(name)))
        except (DomainEmbedError, OSError, dg.DagsterError) as error:
            if strict:
                raise
            errors[name] = str(error)
    return built, errors


def _domain(name: str, settings: DomainSettings) -> dg.Definitions:
    return dg.Definitions.merge(
        dg.Definitions(
            assets=[*source_specs(name, settings), *(build_asset(name, settings, recipe) for recipe in RECIPES)],
            asset_checks=build_checks(name, settings),
        ),
        build_automation(name, settings),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """All domains of the environment's home."""
    return build_definitions(Environment.read())
