"""A guess at what kind of judgments a file holds, for those who point to one."""

from pathlib import Path

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.lines import ROW_SUFFIXES, read_rows
from domain_embed.settings import (
    AnnotationsSource,
    AnswersSource,
    BeirSource,
    ClicksSource,
    JudgmentSource,
    PairsSource,
    TicketsSource,
)

BEIR_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
HINT = "write judgments.sources in domain.yaml: its comments and `domain-embed schema` show every kind"


def detect_source(path: Path) -> JudgmentSource:
    """The settings that read a file of judgments by its fields, or a folder in the BEIR layout; paths are absolute.

    Raises InputError when it is not there, is empty, or its fields fit no kind.
    """
    path = path.absolute()
    if path.is_dir():
        return beir_source(path)
    if not path.exists():
        raise InputError(f"{path} does not exist", "check the path")
    if path.suffix.lower() not in ROW_SUFFIXES:
        raise InputError(f"{path}: judgments are read from {', '.join(ROW_SUFFIXES)} files and BEIR folders", HINT)
    _, row = next(read_rows(path), (0, {}))
    fields, name = set(row), str(path)
    if {"search_id", "query", "position", "clicked"} <= fields:
        return ClicksSource(path=name)
    if {"question", "answer"} <= fields:
        return AnswersSource(path=name)
    if {"query", "passage_id", "grade", "annotator"} <= fields:
        return AnnotationsSource(path=name)
    if {"query", "passage_id"} <= fields:
        return PairsSource(path=name)
    if "doc_id" in fields and fields & {"subject", "text", "turns"}:
        return TicketsSource(path=name)
    raise InputError.at(path, f"its fields fit no kind of judgments: {', '.join(row) or 'none'}", hint=HINT)


def beir_source(folder: Path) -> BeirSource:
    """A folder in the BEIR layout, with those splits that are there."""
    qrels = {split: folder / "qrels" / f"{name}.tsv" for name, split in BEIR_SPLITS.items()}
    found = {split: str(path) for split, path in qrels.items() if path.exists()}
    queries = folder / "queries.jsonl"
    if not queries.exists() or not found:
        missing = [str(queries)] if not queries.exists() else [str(folder / "qrels/{train,dev,test}.tsv")]
        raise InputError.of_culprits("the BEIR layout needs", missing)
    return BeirSource(queries=str(queries), qrels=found)
