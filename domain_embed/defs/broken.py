"""A domain whose settings cannot be used: visible as an error, and in nobody's way."""

import hashlib
import os
import re
from collections.abc import Mapping

import dagster as dg

from domain_embed.contracts.names import MAX_CHARACTERS, is_domain_name
from domain_embed.contracts.shown import fenced
from domain_embed.defs.data import domain_group

SETTINGS_ASSET, SETTINGS_CHECK = "domain_yaml", "can_be_used"
TICK_SECONDS = 30


def broken_domains(errors: Mapping[str, str]) -> dg.Definitions:
    """For each broken domain an asset and a check that say what is wrong, and a sensor that turns the checks red.

    Args:
        errors: What is wrong, by the domain's name.
    """
    if not errors:
        return dg.Definitions()
    return dg.Definitions(
        assets=[_asset(domain, error) for domain, error in errors.items()],
        asset_checks=[_check(domain, error) for domain, error in errors.items()],
        sensors=[_sensor(errors)],
    )


def _key(domain: str) -> list[str]:
    """The asset's key; a folder may be called what no key can be, and be told from others by what is made of that."""
    if is_domain_name(domain):
        return [domain, SETTINGS_ASSET]
    return [re.sub(r"[^A-Za-z0-9_-]", "_", domain)[:MAX_CHARACTERS] + f"_{_digest(domain)}", SETTINGS_ASSET]


def _digest(domain: str) -> str:
    return hashlib.sha256(os.fsencode(domain)).hexdigest()[:8]


def _asset(domain: str, error: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        _key(domain),
        description=f"**The settings of this domain cannot be used**, so none of its assets are here.\n\n"
        f"{fenced(error)}\n\nMend the file, then reload the definitions.",
        group_name=domain_group(_key(domain)[0], "broken"),
        kinds={"yaml"},
    )


def _check(domain: str, error: str) -> dg.AssetChecksDefinition:
    spec = dg.AssetCheckSpec(SETTINGS_CHECK, asset=_key(domain), description="The settings can be used.")
    # Two domains may be broken because their names clash, and Dagster's op names must not clash as well.
    op_name = f"{domain_group(_key(domain)[0], SETTINGS_CHECK)}_{_digest(domain)}"

    @dg.multi_asset_check(specs=[spec], name=op_name)
    def can_be_used() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description=error)

    return can_be_used


def _sensor(errors: Mapping[str, str]) -> dg.SensorDefinition:
    content = hashlib.sha256(repr(sorted(errors.items())).encode()).hexdigest()

    @dg.sensor(
        name="broken_domains", default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=TICK_SECONDS,
        description="Turns the checks of domains red whose domain.yaml cannot be used. Starts no run.",
    )  # fmt: skip
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if context.cursor == content:
            return dg.SkipReason(f"reported already: {', '.join(errors)}")
        return dg.SensorResult(asset_events=[failed_check(*item) for item in errors.items()], cursor=content)

    return sensor


def failed_check(domain: str, error: str) -> dg.AssetCheckEvaluation:
    """The red check of a broken domain."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(_key(domain)), check_name=SETTINGS_CHECK, passed=False, description=error,
        metadata={"error": dg.MetadataValue.md(fenced(error))}, severity=dg.AssetCheckSeverity.ERROR,
    )  # fmt: skip
