"""Diagnosis: what it recommends per domain before training. Whether that came true is asked by `benchmarks.quality`."""

import argparse
import time
from pathlib import Path

from benchmarks.domains import NAMES, Domain, cut_asked, domains, domains_parser
from domain_embed.definitions import build_definitions
from domain_embed.defs.runs import open_instance, run_assets, upstream
from domain_embed.new_domain import beir_settings
from domain_embed.settings import DiagnosisSettings, Environment, render_yaml
from domain_embed.stores.workspace import Workspace


def main() -> None:
    """One domain after the other; what was made in `--home` is made once."""
    chosen = _arguments()
    with domains(chosen.domains, cut_asked(chosen)) as found:
        for domain in found:
            workspace = _workspace(domain, chosen.home or domain.folder.parent / "home", chosen.probe_pairs)
            _print(domain.name, _diagnosed(workspace))


def _arguments() -> argparse.Namespace:
    parser = domains_parser(__doc__ or "", NAMES)
    parser.add_argument("--home", type=Path, help="keep what was made here; default: a temporary folder")
    parser.add_argument("--probe-pairs", type=int, default=DiagnosisSettings().probe_pairs)
    return parser.parse_args()


def _workspace(domain: Domain, home: Path, probe_pairs: int) -> Workspace:
    workspace = Workspace(Environment(home=home), domain.name)
    workspace.folder.mkdir(parents=True, exist_ok=True)
    diagnosis = DiagnosisSettings(on_negative="continue", probe_pairs=probe_pairs)
    settings = beir_settings(domain.folder).model_copy(update={"diagnosis": diagnosis})
    (workspace.folder / "domain.yaml").write_text(render_yaml(settings), encoding="utf-8")
    return workspace


def _run(workspace: Workspace, names: list[str]) -> None:
    with open_instance(workspace.environment) as instance:
        run_assets(instance, workspace, build_definitions(workspace.environment, [workspace.domain]), names)


def _diagnosed(workspace: Workspace) -> dict:  # type: ignore[type-arg]
    _run(workspace, [name for name in upstream("diagnosis", workspace.settings) if name != "diagnosis"])
    started = time.monotonic()
    _run(workspace, ["diagnosis"])
    return {**workspace.diagnosis(), "seconds": time.monotonic() - started}


def _print(name: str, stored: dict) -> None:  # type: ignore[type-arg]
    advice = stored["recommendation"]
    print(f"\n{name}: {advice['headline']} (fine-tune: {advice['fine_tune']}), {stored['seconds']:.0f} s")
    causes = ", ".join(f"{one['queries']} {one['cause']}" for one in stored["causes"] if one["queries"])
    print(f"  {stored['queries']} queries, {stored['failures']} fail: {causes}")
    print("  " + ", ".join(f"{system} {mean:.3f}" for system, mean in stored["systems"].items()))
    for one in stored["comparisons"]:
        low, high = one["ci95"]
        print(f"  {one['challenger']:14} − {one['baseline']:12} {one['delta']:+.3f} [{low:+.3f}, {high:+.3f}]")
    for lever in stored["levers"]:
        low, high = lever["ci95"]
        print(f"  {lever['title']:28} {lever['gain']:+.3f} [{low:+.3f}, {high:+.3f}] {lever['kind']}", flush=True)


if __name__ == "__main__":
    main()
