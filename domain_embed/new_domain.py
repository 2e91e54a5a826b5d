"""Settings of a new domain: of the demo, of a BEIR folder, of whatever files one points to."""

from collections.abc import Sequence
from pathlib import Path

from domain_embed.corpus.detect import detect_corpus
from domain_embed.corpus.lines import ROW_SUFFIXES
from domain_embed.corpus.sources import find_files
from domain_embed.judgments.detect import beir_source, detect_source
from domain_embed.settings import (
    BeirSource,
    ChunkingSettings,
    CorpusSettings,
    DiagnosisSettings,
    DomainSettings,
    JudgmentSettings,
    ModelSettings,
    SplitSettings,
    TrainingSettings,
)


def demo_settings(*, fast: bool) -> DomainSettings:
    """The settings of the demo domain, as committed in data/aws/domain.yaml.

    So that the demo ends in minutes on two cores, the lower half of its six-layer model stays as it is, it learns from
    half as much of a text as is served, and no mixtures of base and tuned weights are weighed but the two ends. The
    fast one reads half as much of a text, learns from a quarter, and estimates nothing before it trains.
    """
    about = "AWS operations found by what people want to do: example titles of the AWS CLI, operation documentation."
    if not fast:
        training = TrainingSettings(max_tokens=128, frozen_layers=3, interpolation=())
        return DomainSettings(description=about, training=training)
    return DomainSettings(
        description=about,
        model=ModelSettings(max_tokens=128),
        training=TrainingSettings(epochs=1, max_tokens=64, frozen_layers=3, interpolation=()),
        diagnosis=DiagnosisSettings(probe_pairs=0, adapter_queries=0),
    )


def beir_settings(folder: Path) -> DomainSettings:
    """Settings for a folder in the BEIR layout, with its splits kept exactly."""
    return DomainSettings(
        corpus=CorpusSettings(paths=(str(find_files(folder, ["corpus.jsonl"])[0]),)),
        judgments=JudgmentSettings(sources=(beir_source(folder),)),
        splits=SplitSettings(strategy="given"),
    )


def files_settings(corpus: Path, judgments: Sequence[Path]) -> DomainSettings:
    """Settings for a corpus file or folder and any number of judgment files, recognised by their fields.

    Documents that are files of their own are cut at their headings; rows are taken as they are. Splits are kept where
    a BEIR folder gives them and nothing else is there.

    Raises InputError for what cannot be recognised.
    """
    found = detect_corpus(corpus)
    sources = tuple(detect_source(path) for path in judgments)
    one_per_file = any(Path(path).suffix.lower() not in ROW_SUFFIXES for path in found.paths)
    given = len(sources) == 1 and isinstance(sources[0], BeirSource)
    return DomainSettings(
        corpus=found,
        chunking=ChunkingSettings(strategy="headings" if one_per_file else "none"),
        judgments=JudgmentSettings(sources=sources) if sources else JudgmentSettings(),
        splits=SplitSettings(strategy="given" if given else "hash"),
    )
