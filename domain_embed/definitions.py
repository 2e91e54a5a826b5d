"""The composition root: settings and environment to Dagster definitions; what workspace.yaml loads."""

import os
from collections.abc import Sequence

import dagster as dg

from domain_embed.contracts.errors import DomainEmbedError, SettingsError
from domain_embed.contracts.secrets import redact
from domain_embed.defs.assets import Stores, build_asset
from domain_embed.defs.automation import build_automation
from domain_embed.defs.broken import broken_domains
from domain_embed.defs.checks import build_checks
from domain_embed.defs.data import domain_group, source_specs
from domain_embed.defs.graph import RECIPES
from domain_embed.files import PRIVATE_UMASK
from domain_embed.process import protect_process
from domain_embed.settings import DomainSettings, Environment


def build_definitions(environment: Environment, domains: Sequence[str] | None = None) -> dg.Definitions:
    """The asset graphs of the given domains, or of all in home, with everything they need.

    Of all domains, one whose settings cannot be used shows as an error and hides no other. Domains asked for by name
    raise SettingsError instead.
    """
    names = environment.domains() if domains is None else domains
    built, errors = _build_domains(environment, names, strict=domains is not None)
    return dg.Definitions.merge(
        dg.Definitions(
            resources=fixed_resources(Stores(environment)),
            # One process per run: importing the model libraries once costs seconds, once per asset a minute.
            executor=dg.in_process_executor,
        ),
        broken_domains(errors),
        *built,
    )


def fixed_resources(stores: Stores) -> dict[str, dg.ResourceDefinition]:
    """The resources of every run. Whoever launches one can set nothing of them: Dagster refuses config for them.

    Without a schema of no fields it would take any, and its own place for results is a folder that run config names.
    """
    return {
        "stores": dg.ResourceDefinition(lambda _: stores, config_schema={}),
        "io_manager": dg.IOManagerDefinition(lambda _: dg.InMemoryIOManager(), config_schema={}),  # type: ignore[no-untyped-call]
    }


def _build_domains(
    environment: Environment, names: Sequence[str], *, strict: bool
) -> tuple[list[dg.Definitions], dict[str, str]]:
    """The domains that can be loaded together, and what is wrong with each of the others."""
    built, errors, taken = [], {}, dict[str, str]()
    for name in names:
        try:
            definitions = _domain(name, environment.settings(name))
            ops = {domain_group(name, recipe.name): name for recipe in RECIPES}
            first = next((taken[op] for op in ops if op in taken), None)
            if first is not None:
                raise SettingsError(f"{name!r} and {first!r} are one name to Dagster", "rename a folder")
            taken |= ops
            built.append(definitions)
        except (DomainEmbedError, OSError, dg.DagsterError) as error:
            if strict:
                raise
            errors[name] = redact(str(error))
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
    """All domains of the environment's home. The process that loads them, a server or a run of Dagster, is ours."""
    protect_process()
    os.umask(PRIVATE_UMASK)
    return build_definitions(Environment.read())
