"""Diagnosis: what it recommends per domain before training. Whether that came true is asked by `benchmarks.quality`."""

import argparse
import time
from pathlib import Path

from benchmarks.domains import NAMES, cut_asked, domains, domains_parser
from benchmarks.quality import bring_up_to_date, prepare
from domain_embed.defs.runs import upstream
from domain_embed.new_domain import beir_settings
from domain_embed.settings import DiagnosisSettings, Environment
from domain_embed.stores.workspace import Workspace


def main() -> None:
    """One domain after the other; what was made in `--home` is made once."""
    chosen = _arguments()
    with domains(chosen.domains, cut_asked(chosen)) as found:
        for domain in found:
            settings = beir_settings(domain.folder)
            diagnosis = settings.diagnosis.model_copy(update={"probe_pairs": chosen.probe_pairs})
            home = Environment(home=chosen.home or domain.folder.parent / "home")
            workspace = prepare(home, domain, settings.model_copy(update={"diagnosis": diagnosis}))
            _print(domain.name, _diagnosed(workspace))


def _arguments() -> argparse.Namespace:
    parser = domains_parser(__doc__ or "", NAMES)
    parser.add_argument("--home", type=Path, help="keep what was made here; default: a temporary folder")
    parser.add_argument("--probe-pairs", type=int, default=DiagnosisSettings().probe_pairs)
    return parser.parse_args()


def _diagnosed(workspace: Workspace) -> dict:  # type: ignore[type-arg]
    wanted = upstream("diagnosis", workspace.settings)
    bring_up_to_date(workspace, wanted[:-1])
    started = time.monotonic()
    bring_up_to_date(workspace, wanted)
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
