"""Training's memory: the peak of a process that fine-tunes on long passages, by objective and batch size.

Every passage fills the 256 tokens that training reads, so that no step can need more. The cached objective is meant for
batches that do not fit otherwise; what it takes longer is stated against the plain one with the same batch, whose
graph has a limit, too.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak_bytes
from benchmarks.training import train_ours
from domain_embed.demo.aws import extract_aws
from domain_embed.settings import DomainSettings, resolve_model
from domain_embed.training.pairs import TrainingPairs

CASES = (("ranking", 64), ("ranking", 256), ("cached_ranking", 256))
LONG = 2400
"""Characters that make more than 256 tokens."""


def main() -> None:
    """Each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        objective, batch_size = arguments.measure
        print(json.dumps(measure(objective, int(batch_size), arguments.pairs)))
        return
    seconds = {}
    for objective, batch_size in CASES:
        command = [sys.executable, "-m", "benchmarks.training_memory", "--pairs", str(arguments.pairs)]
        command += ["--measure", objective, str(batch_size)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        seconds[objective, batch_size] = found["seconds"]
        peak, before = found["peak"] / 2**30, found["before"] / 2**30
        speed = arguments.pairs / found["seconds"]
        case = f"{objective:15} batch {batch_size:4}"
        print(f"{case}  peak {peak:5.2f} GiB ({before:.2f} before)  {speed:6.1f} pairs/s", flush=True)
    slower = seconds["cached_ranking", 256] / seconds["ranking", 256]
    print(f"cached takes {slower:.2f} times as long as the plain objective with the same batch")


def measure(objective: str, batch_size: int, size: int) -> dict[str, Any]:
    """Trains one epoch in this process."""
    training = {"objective": {"kind": objective}, "batch_size": batch_size, "epochs": 1}
    settings = DomainSettings.model_validate({"training": training})
    base, pairs = resolve_model(settings.model.base, Path()), made_pairs(size)
    with tempfile.TemporaryDirectory() as folder:
        before = peak_bytes()
        seconds, _ = train_ours(base, settings, pairs, Path(folder))
        return {"seconds": seconds, "before": before, "peak": peak_bytes()}


def made_pairs(size: int) -> TrainingPairs:
    """The demo's passages joined until they are long; each asked for by its beginning, with the next as negative."""
    with tempfile.TemporaryDirectory() as name:
        extract_aws(Path(name))
        with (Path(name) / "corpus.jsonl").open(encoding="utf-8") as file:
            texts = [json.loads(line)["text"] for line in file]
    passages: list[str] = []
    joined = ""
    for text in texts:
        joined = f"{joined} {text}".strip()
        if len(joined) >= LONG:
            passages.append(joined)
            joined = ""
    passages = passages[: size + 1]
    own = np.arange(size)
    return TrainingPairs(
        queries=[passage[:60] for passage in passages[:size]],
        passages=passages,
        pairs=np.stack([own, own], axis=1),
        positives=[frozenset({row}) for row in range(size)],
        negatives=[[row + 1] for row in range(size)],
    )


if __name__ == "__main__":
    main()
