"""Settings of a new domain: of the demo, of a BEIR folder, of two files."""

from pathlib import Path

from domain_embed.contracts.errors import InputError
from domain_embed.settings import (
    BeirSource,
    CorpusSettings,
    DomainSettings,
    JudgmentSettings,
    PairsSource,
    SplitSettings,
    TrainingSettings,
)

BEIR_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


def demo_settings(*, fast: bool) -> DomainSettings:
    """The settings of the demo domain, as committed in data/aws/domain.yaml.

    The lower half of its six-layer model stays as it is, so that the demo ends in minutes on two cores.
    """
    about = "AWS operations found by what people want to do: example titles of the AWS CLI, operation documentation."
    training = TrainingSettings(epochs=1 if fast else 2, frozen_layers=3)
    return DomainSettings(description=about, training=training)


def beir_settings(folder: Path) -> DomainSettings:
    """Settings for a folder in the BEIR layout, with its splits kept exactly."""
    qrels = {split: folder / "qrels" / f"{name}.tsv" for name, split in BEIR_SPLITS.items()}
    found = {split: str(path) for split, path in qrels.items() if path.exists()}
    missing = [str(path) for path in (folder / "corpus.jsonl", folder / "queries.jsonl") if not path.exists()]
    if missing or not found:
        raise InputError.of_culprits("--beir needs", missing or [str(folder / "qrels/{train,dev,test}.tsv")])
    source = BeirSource(queries=str(folder / "queries.jsonl"), qrels=found)
    return DomainSettings(
        corpus=CorpusSettings(paths=(str(folder / "corpus.jsonl"),)),
        judgments=JudgmentSettings(sources=(source,)),
        splits=SplitSettings(strategy="given"),
    )


def files_settings(corpus: Path, judgments: Path) -> DomainSettings:
    """Settings for one file of documents and one of judgments."""
    for path in (corpus, judgments):
        if not path.exists():
            raise InputError(f"{path} does not exist")
    return DomainSettings(
        corpus=CorpusSettings(paths=(str(corpus),)),
        judgments=JudgmentSettings(sources=(PairsSource(path=str(judgments)),)),
    )
