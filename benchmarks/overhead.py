"""What orchestration costs: the share of a demo run's wall time that is Dagster, MLflow, staleness and imports.

Everything outside the asset bodies counts as orchestration, and so does MLflow's time inside them. The run is that of
`domain-embed demo`, in a process of its own, from its start to the end of the run. Then `status` over ten domains, of
which nine are new, and `--help`, as processes of their own.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

DOMAINS = 10


class Clock:
    """Seconds spent in some functions; what one of them calls counts once."""

    def __init__(self, within: "Clock | None" = None) -> None:
        """Counts only while the clock `within`, if any, runs."""
        self.seconds = 0.0
        self._running = False
        self._within = within

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time taken."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self._running or (self._within is not None and not self._within._running):
                return function(*args, **kwargs)
            started, self._running = time.monotonic(), True
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.monotonic() - started
                self._running = False

        return wrapper


def main() -> None:
    """Runs the demo once, looks at ten domains, and asks for help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", choices=["fast", "all"], default="fast")
    parser.add_argument("--home", type=Path, help="folder to make and keep the run in; a temporary one by default")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measured_run(options.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        _write_domain(home / "demo", fast=options.services == "fast")
        started = time.monotonic()
        child = [sys.executable, "-m", "benchmarks.overhead", "--child", str(home)]
        found = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
        wall = time.monotonic() - started
        overhead = wall - found["bodies"] + found["mlflow"]
        print(
            f"run of the demo ({options.services}): {wall:.1f} s, of them {found['bodies']:.1f} s in asset bodies, "
            f"{found['mlflow']:.1f} s of those in MLflow: orchestration takes {overhead / wall:.1%}"
        )
        for number in range(1, DOMAINS):
            _write_domain(home / f"demo{number}", fast=True)
        print(f"status of {DOMAINS} domains: {_seconds(home, 'status'):.1f} s")
        print(f"--help: {_seconds(home, '--help'):.2f} s")


def _write_domain(folder: Path, *, fast: bool) -> None:
    from domain_embed.demo.aws import FAST_SERVICES, extract_aws
    from domain_embed.new_domain import demo_settings
    from domain_embed.settings import SETTINGS_FILE, render_yaml

    folder.mkdir(parents=True)
    extract_aws(folder, services=FAST_SERVICES if fast else None)
    (folder / SETTINGS_FILE).write_text(render_yaml(demo_settings(fast=fast)), encoding="utf-8")


def _measured_run(home: Path) -> dict[str, float]:
    """Seconds in asset bodies, and MLflow's share of them."""
    from mlflow.tracking import MlflowClient

    from domain_embed import definitions
    from domain_embed.defs.graph import RECIPES
    from domain_embed.defs.runs import make_plan, open_instance, run_assets
    from domain_embed.settings import Environment
    from domain_embed.stores.tracking import AssetTracker
    from domain_embed.stores.workspace import Workspace

    bodies = Clock()
    mlflow = Clock(within=bodies)
    for name in dir(MlflowClient):
        if not name.startswith("_") and callable(getattr(MlflowClient, name)):
            setattr(MlflowClient, name, mlflow.timed(getattr(MlflowClient, name)))
    AssetTracker.register_model = mlflow.timed(AssetTracker.register_model)  # type: ignore[method-assign]
    timed = tuple(replace(recipe, body=bodies.timed(recipe.body)) for recipe in RECIPES)
    definitions.RECIPES = timed  # type: ignore[attr-defined, assignment]
    environment = Environment(home=home)
    workspace = Workspace(environment, "demo")
    with open_instance(environment) as instance:
        names = make_plan(instance, workspace).stale
        run_assets(instance, workspace, definitions.build_definitions(environment, ["demo"]), names)
    return {"bodies": bodies.seconds, "mlflow": mlflow.seconds}


def _seconds(home: Path, *arguments: str) -> float:
    started = time.monotonic()
    command = [sys.executable, "-m", "domain_embed.cli", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DOMAIN_EMBED_HOME": str(home)})
    return time.monotonic() - started


if __name__ == "__main__":
    main()
