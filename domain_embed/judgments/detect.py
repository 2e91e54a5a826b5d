"""A guess at what kind of judgments a file holds and what its columns mean, for those who point to one."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.lines import ROW_SUFFIXES, read_rows
from domain_embed.files import is_there
from domain_embed.judgments.sources import annotations, answers, clicks, pairs, tickets
from domain_embed.judgments.sources.columns import Columns
from domain_embed.judgments.sources.rows import read
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
CLEAR_GRADES = range(-1, 5)
"""A column is mapped without asking where all its grades are among these and some say "not relevant"."""

_COLUMNS = {
    "pairs": pairs.COLUMNS, "answers": answers.COLUMNS, "tickets": tickets.COLUMNS,
    "annotations": annotations.COLUMNS, "clicks": clicks.COLUMNS,
}  # fmt: skip


@dataclass(frozen=True)
class Detected:
    """A source, how many of its rows say which split, and what to tell about its columns."""

    source: JudgmentSource
    splits: Counter[str | None] = field(default_factory=Counter)
    remarks: tuple[str, ...] = ()


def detect_source(path: Path) -> Detected:
    """The settings that read a file of judgments by its fields, or a folder in the BEIR layout; paths are absolute.

    A column that is clearly the grade is mapped, and all that is mapped or not read is remarked.

    Raises InputError when it is not there, is empty, or its fields fit no kind, and for a row that cannot be read.
    """
    path = path.absolute()
    if not is_there(path):
        raise InputError(f"{path} does not exist", "check the path")
    if path.is_dir():
        source = beir_source(path)
        return Detected(source, Counter(dict.fromkeys(source.qrels, 1)))
    if path.suffix.lower() not in ROW_SUFFIXES:
        raise InputError(f"{path}: judgments are read from {', '.join(ROW_SUFFIXES)} files and BEIR folders", HINT)
    return _look_through(path, _by_fields(path))


def _by_fields(path: Path) -> JudgmentSource:
    _, row = next(read_rows(path), (0, {}))
    fields, name = set(row), str(path)
    if {"search_id", "query", "position", "clicked"} <= fields:
        return ClicksSource(path=name)
    if {"question", "answer"} <= fields:
        return AnswersSource(path=name)
    if {"query", "passage_id", "annotator"} <= fields:
        return AnnotationsSource(path=name)
    if {"query", "passage_id"} <= fields:
        return PairsSource(path=name)
    if "doc_id" in fields and fields & {"subject", "text", "turns"}:
        return TicketsSource(path=name)
    raise InputError.at(path, f"its fields fit no kind of judgments: {', '.join(row) or 'none'}", hint=HINT)


def _look_through(path: Path, source: JudgmentSource) -> Detected:
    """Every row, as a grade or a split that comes late counts as much as one that comes first."""
    known = _COLUMNS[source.kind]
    columns = Columns(known, "grade" if source.kind in ("pairs", "annotations") else None)
    splits: Counter[str | None] = Counter()
    for row in read(path):
        columns.add(row)
        if "split" in known:
            splits[row.split()] += 1
    remarks, mapped = [], None
    if columns.grades and not columns.is_graded:
        mapped = _clear_grade(columns.grades) if "grade_field" in type(source).model_fields else None
        remarks = [_on_grade(name, grades, name == mapped) for name, grades in columns.grades.items()]
    unread = [name for name in columns.unread if columns.is_graded or name not in columns.grades]
    if unread:
        remarks.append(f"not read: {', '.join(unread)}")
    if mapped is not None:
        source = source.model_copy(update={"grade_field": mapped})
    return Detected(source, splits, tuple(f"{path.name}: {remark}" for remark in remarks))


def _clear_grade(grades: Mapping[str, list[int]]) -> str | None:
    """The column that is the grade, if only one looks like it and its numbers can mean nothing else."""
    [(name, values), *others] = grades.items()
    clear = not others and values[0] < 1 and set(values) <= set(CLEAR_GRADES)
    return name if clear else None


def _on_grade(name: str, grades: list[int], is_mapped: bool) -> str:
    told = f"{name} {'/'.join(map(str, grades))}"
    if is_mapped:
        return f"grade ← {told} (0 and less: judged not relevant)"
    return f"{told} looks like a grade and is not read: set grade_field or unused_fields in domain.yaml before you run"


def beir_source(folder: Path) -> BeirSource:
    """A folder in the BEIR layout, with those splits that are there."""
    qrels = {split: folder / "qrels" / f"{name}.tsv" for name, split in BEIR_SPLITS.items()}
    found = {split: str(path) for split, path in qrels.items() if path.exists()}
    queries = folder / "queries.jsonl"
    if not queries.exists() or not found:
        missing = [str(queries)] if not queries.exists() else [str(folder / "qrels/{train,dev,test}.tsv")]
        raise InputError.of_culprits("the BEIR layout needs", missing)
    return BeirSource(queries=str(queries), qrels=found)
