"""Settings of a new domain: of the demo, of a BEIR folder, of whatever files one points to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain_embed.contracts.notes import left_out
from domain_embed.contracts.tables import SPLIT_NAMES
from domain_embed.corpus.detect import detect_corpus
from domain_embed.corpus.lines import ROW_SUFFIXES
from domain_embed.corpus.sources import find_files, find_sources, overlooked
from domain_embed.judgments.detect import beir_source, detect_source
from domain_embed.settings import (
    ChunkingSettings,
    CorpusSettings,
    DiagnosisSettings,
    DomainSettings,
    JudgmentSettings,
    ModelSettings,
    SparseSettings,
    SplitSettings,
    TrainingSettings,
)

LOOKS_AT_THE_CORPUS = SparseSettings(language="auto")
"""Not the default, which stays what finished domains without the setting were made by."""


def demo_settings(*, fast: bool) -> DomainSettings:
    """The settings of the demo domain, as committed in data/aws/domain.yaml.

    So that the demo ends in minutes on two cores, the lower half of its six-layer model stays as it is, it learns from
    half as much of a text as is served, for two epochs, which are enough here, and no mixtures of base and tuned
    weights are weighed but the two ends. The fast one reads half as much of a text, learns from a quarter in one epoch,
    and estimates nothing before it trains.
    """
    about = "AWS operations found by what people want to do: example titles of the AWS CLI, operation documentation."
    if not fast:
        training = TrainingSettings(epochs=2, max_tokens=128, frozen_layers=3, interpolation=())
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
        sparse=LOOKS_AT_THE_CORPUS,
    )


@dataclass(frozen=True)
class NewDomain:
    """Settings, and what was guessed or left out on the way to them."""

    settings: DomainSettings
    remarks: tuple[str, ...] = ()


def files_domain(corpus: Path, judgments: Sequence[Path]) -> NewDomain:
    """Settings for a corpus file or folder and any number of judgment files, recognised by their fields.

    Documents that are files of their own are cut at their headings; rows are taken as they are. Where some judgments
    are given to a split, be it in one of several files, these splits are kept.

    Raises InputError for what cannot be recognised.
    """
    found = detect_corpus(corpus)
    detected = [detect_source(path) for path in judgments]
    sources = tuple(one.source for one in detected)
    splits = sum((one.splits for one in detected), Counter[str | None]())
    held_out = any(splits[name] for name in SPLIT_NAMES if name != "train")
    one_per_file = any(Path(path).suffix.lower() not in ROW_SUFFIXES for path in found.paths)
    settings = DomainSettings(
        corpus=found,
        chunking=ChunkingSettings(strategy="headings" if one_per_file else "none"),
        judgments=JudgmentSettings(sources=sources) if sources else JudgmentSettings(),
        splits=SplitSettings(strategy="given" if held_out else "hash"),
        sparse=LOOKS_AT_THE_CORPUS,
    )
    remarks = [*_left_out(corpus, found, judgments), *(remark for one in detected for remark in one.remarks)]
    if held_out:
        told = ", ".join(f"{name or 'without one'} {count:,}" for name, count in splits.items())
        remarks.append(f"splits are kept as given ({told})")
    return NewDomain(settings, tuple(remarks))


def _left_out(corpus: Path, settings: CorpusSettings, judgments: Sequence[Path]) -> list[str]:
    """What lies in the folder that was pointed to and will not be read, be it as judgments."""
    if not corpus.is_dir():
        return []
    sources = find_sources(corpus, settings.paths)
    unread = overlooked(corpus, ["."], [*sources.met, *(path.absolute() for path in judgments)])
    counts = Counter(reason for reason, _ in (*sources.skipped, *unread))
    return [note.text for note in left_out("files in the folder", counts, ())]
