"""The composition root: settings and environment to Dagster definitions; what workspace.yaml loads."""

from collections.abc import Mapping, Sequence

import dagster as dg

from domain_embed.defs.assets import Stores, build_asset
from domain_embed.defs.checks import build_checks
from domain_embed.defs.data import source_specs
from domain_embed.defs.graph import RECIPES
from domain_embed.settings import Environment


def build_definitions(
    environment: Environment,
    domains: Sequence[str] | None = None,
    resource_overrides: Mapping[str, object] | None = None,
) -> dg.Definitions:
    """The asset graphs of the given domains, or of all in home, with everything they need.

    Raises SettingsError when a domain.yaml cannot be used.
    """
    names = environment.domains() if domains is None else domains
    assets: list[dg.AssetSpec | dg.AssetsDefinition] = []
    checks: list[dg.AssetChecksDefinition] = []
    for name in names:
        settings = environment.settings(name)
        assets += [*source_specs(name), *(build_asset(name, settings, recipe) for recipe in RECIPES)]
        checks += build_checks(name, settings)
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        resources={"stores": Stores.of(environment), **(resource_overrides or {})},
        # One process per run: importing the model libraries once costs seconds, once per asset a minute.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """All domains of the environment's home."""
    return build_definitions(Environment.read())
