"""All benchmarks, one after the other."""

import runpy

for name in (
    "encoding",
    "training",
    "training_memory",
    "mining",
    "mining_scale",
    "corruption",
    "search",
    "indexing",
    "scale",
):
    print(f"== {name}", flush=True)
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
