"""A guess at the corpus settings for files that somebody points to."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.lines import ROW_SUFFIXES, read_rows
from domain_embed.corpus.sources import SUPPORTED_SUFFIXES, supported_files
from domain_embed.files import is_there
from domain_embed.settings import CorpusSettings

CORPUS_NAMES = ("corpus", "documents", "docs", "passages", "articles")
ID_FIELDS = ("_id", "id", "doc_id", "docid", "key")
TITLE_FIELDS = ("title", "name", "heading", "subject")
TEXT_FIELDS = ("text", "body", "content", "description", "answer", "contents")
HINT = "write corpus.paths, corpus.id_field and corpus.text_fields in domain.yaml"


def detect_corpus(path: Path) -> CorpusSettings:
    """Settings that read a file, or the files below a directory, with absolute paths.

    In a directory, tables that are named as a corpus win over files with one document each, and those over other
    tables. Fields are recognised by well-known names, whatever their case; other fields of a table become metadata.

    Raises:
        InputError: When nothing there can be read, or a table has no field that looks like an id or a text.
    """
    path = path.absolute()
    if not is_there(path):
        raise InputError(f"{path} does not exist", "check the path")
    found = supported_files(path) if path.is_dir() else [path]
    found = [file for file in found if file.suffix.lower() in SUPPORTED_SUFFIXES]
    if not found:
        raise InputError(f"{path} holds no file of a known kind", f"known are {', '.join(SUPPORTED_SUFFIXES)}")
    tables = [file for file in found if file.suffix.lower() in ROW_SUFFIXES]
    corpora = [file for file in tables if file.stem.casefold() in CORPUS_NAMES]
    files = [file for file in found if file not in tables]
    if corpora or not files:
        return _table_settings(corpora or tables)
    if not tables:
        return CorpusSettings(paths=(str(path),))
    return CorpusSettings(paths=tuple(f"{path}/**/*{suffix}" for suffix in sorted({file.suffix for file in files})))


def _table_settings(tables: Sequence[Path]) -> CorpusSettings:
    table = tables[0]
    _, row = next(read_rows(table), (0, {}))
    names = {name.strip().casefold(): name for name in row}
    id_field, text_field = _first(ID_FIELDS, names), _first(TEXT_FIELDS, names)
    title_field = _first((name for name in TITLE_FIELDS if names.get(name) != text_field), names)
    if id_field is None or text_field is None:
        missing, known = ("text", TEXT_FIELDS) if text_field is None else ("id", ID_FIELDS)
        problem = f"no field looks like the {missing}: found {', '.join(row) or 'none'}, known are {', '.join(known)}"
        raise InputError.at(table, problem, hint=HINT)
    others = set(row) - {id_field, title_field, text_field, "metadata"}
    return CorpusSettings(
        paths=tuple(str(table) for table in tables),
        id_field=None if id_field in ("_id", "id") else id_field,
        title_field=title_field or "title",
        text_fields=(text_field,),
        metadata_fields=("*",) if others else (),
    )


def _first(known: Iterable[str], names: dict[str, str]) -> str | None:
    return next((names[name] for name in known if name in names), None)
