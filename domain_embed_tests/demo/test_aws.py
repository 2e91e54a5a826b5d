"""The demo domain: a hand-made awscli tree for the rules, the installed one for the size."""

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from domain_embed.contracts.errors import InputError, NotReadyError
from domain_embed.demo.aws import (
    FAST_SERVICES,
    MAX_OPERATIONS_PER_TITLE,
    NO_OPERATION,
    NO_TASK,
    TOO_BROAD,
    example_titles,
    extract_aws,
    is_task,
    plain_text,
)

KITES = {
    "BuildKite": "<p>Builds a <i>kite</i>.</p><note><p>Needs wind &amp; string.</p></note>",
    "ListKites": "<p>Lists\n   your kites.</p>",
    "GetKiteIDs": "Returns identifiers.",
    "PaintKite": "",
}
BOATS = {f"{verb}Boat": f"<p>{verb}s one boat.</p>" for verb in ("Anchor", "Moor", "Row", "Sail")}

BUILD_KITE = """**Example 1: To build a kite:**

The following **fine** example builds one. ::

    **To fly inside code**

**Output:**

**Note:** Mind the trees.

**Example 2: to build  a ``tailed`` kite.**
"""
LIST_KITES = """List Every Kite
---------------

See Also
--------

**To look after something**
"""


def write_model(data: Path, service: str, version: str, operations: dict[str, str], *, zipped: bool = False) -> None:
    documented = {name: {"documentation": text} for name, text in operations.items()}
    names = {} if service == "codedeploy" else {"serviceId": service.title()}
    written = json.dumps({"metadata": names, "operations": documented | {"Undocumented": {}}}).encode()
    folder = data / service / version
    folder.mkdir(parents=True)
    if zipped:
        (folder / "service-2.json.gz").write_bytes(gzip.compress(written))
    else:
        (folder / "service-2.json").write_bytes(written)


def write_example(root: Path, command: str, text: str) -> None:
    path = root / "examples" / f"{command}.rst"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def awscli(tmp_path: Path) -> Path:
    """An awscli with two services, `kites` (two API versions) and `codedeploy`, whose command is called `deploy`."""
    root = tmp_path / "awscli"
    data = root / "botocore" / "data"
    write_model(data, "kites", "2001-01-01", {"ForgottenOperation": "From the old version."})
    write_model(data, "kites", "2020-02-02", KITES)
    write_model(data, "codedeploy", "2020-02-02", BOATS, zipped=True)
    (root / "__init__.py").write_text("__version__ = '1.2.3'\n", encoding="utf-8")
    write_example(root, "kites/build-kite", BUILD_KITE)
    write_example(root, "kites/list-kites", LIST_KITES)
    write_example(root, "kites/get-kite-ids", "**To find kites**\n")
    write_example(root, "kites/wait/kite-flies", "**To wait for wind**\n")
    write_example(root, "kites/paint-kite", "**To paint a kite**\n")
    for verb in ("anchor", "moor", "row", "sail"):
        write_example(root, f"deploy/{verb}-boat", f"**To look  after Something**\n\n**To {verb} a boat**\n")
    return root


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_passages_are_the_documented_operations_of_the_latest_version(awscli: Path, tmp_path: Path) -> None:
    extract_aws(tmp_path / "aws", awscli_root=awscli)
    corpus = {row["_id"]: row for row in rows(tmp_path / "aws" / "corpus.jsonl")}
    assert set(corpus) == {f"codedeploy/{name}" for name in BOATS} | {
        "kites/BuildKite",
        "kites/GetKiteIDs",
        "kites/ListKites",
    }
    assert corpus["kites/BuildKite"] == {
        "_id": "kites/BuildKite",
        "title": "Kites build kite",
        "text": "Builds a kite.\n\nNeeds wind & string.",
        "metadata": {"service": "kites"},
    }
    assert corpus["kites/GetKiteIDs"]["title"] == "Kites get kite ids"
    assert corpus["codedeploy/RowBoat"]["title"] == "codedeploy row boat"


def test_judgments_join_titles_of_both_shapes_with_their_operation(awscli: Path, tmp_path: Path) -> None:
    extract_aws(tmp_path / "aws", awscli_root=awscli)
    judgments = rows(tmp_path / "aws" / "judgments.jsonl")
    assert [(row["query"], row["passage_id"]) for row in judgments] == [
        ("List Every Kite", "kites/ListKites"),
        ("To anchor a boat", "codedeploy/AnchorBoat"),
        ("To build a kite", "kites/BuildKite"),
        ("To find kites", "kites/GetKiteIDs"),
        ("To moor a boat", "codedeploy/MoorBoat"),
        ("To row a boat", "codedeploy/RowBoat"),
        ("To sail a boat", "codedeploy/SailBoat"),
        ("to build a tailed kite", "kites/BuildKite"),
    ]
    assert {(row["grade"], row["source"]) for row in judgments} == {(1, "awscli-examples")}


def test_counts_say_what_was_written_and_dropped(awscli: Path, tmp_path: Path) -> None:
    extracted = extract_aws(tmp_path / "aws", awscli_root=awscli)
    assert (extracted.passages, extracted.queries, extracted.judgments, extracted.services) == (7, 8, 8, 2)
    # "To look after something" fits five operations in three spellings; waiting and painting have no documentation.
    assert extracted.dropped == {TOO_BROAD: 1, NO_TASK: 2, NO_OPERATION: 2}
    assert extracted.awscli_version == "1.2.3"


def test_a_title_is_too_broad_only_among_the_chosen_services(awscli: Path, tmp_path: Path) -> None:
    extracted = extract_aws(tmp_path / "aws", services=["kites"], awscli_root=awscli)
    judgments = rows(tmp_path / "aws" / "judgments.jsonl")
    assert ("To look after something", "kites/ListKites") in {(row["query"], row["passage_id"]) for row in judgments}
    assert (extracted.services, extracted.dropped[TOO_BROAD]) == (1, 0)


def test_the_same_awscli_gives_the_same_bytes_and_leaves_no_other_file(awscli: Path, tmp_path: Path) -> None:
    extract_aws(tmp_path / "aws", awscli_root=awscli)
    first = {path.name: path.read_bytes() for path in (tmp_path / "aws").iterdir()}
    extract_aws(tmp_path / "aws", services=("kites", "codedeploy"), awscli_root=awscli)
    assert {path.name: path.read_bytes() for path in (tmp_path / "aws").iterdir()} == first
    assert set(first) == {"corpus.jsonl", "judgments.jsonl"}


def test_models_of_a_separate_botocore_package_are_found(awscli: Path, tmp_path: Path) -> None:
    bundled = extract_aws(tmp_path / "bundled", awscli_root=awscli)
    (awscli / "botocore").rename(awscli.parent / "botocore")
    assert extract_aws(tmp_path / "separate", awscli_root=awscli) == bundled


def test_titles_are_bold_lines_and_headings_without_numbering() -> None:
    assert list(example_titles(BUILD_KITE)) == ["To build a kite", "Output", "to build a tailed kite"]
    assert list(example_titles(LIST_KITES)) == ["List Every Kite", "See Also", "To look after something"]
    assert list(example_titles("**2. To use kite API version 2. of 3**")) == ["To use kite API version 2. of 3"]
    assert list(example_titles("**Basic Syntax**::")) == []


@pytest.mark.parametrize(
    "title", ["Output", "Examples", "Command: aws kites", "Note: mind this", "Title", "Example 1", ""]
)
def test_a_part_of_an_example_is_no_task(title: str) -> None:
    assert not is_task(title)


def test_html_becomes_paragraphs_of_plain_text() -> None:
    html = "<p>One<b>two</b>&lt;three&gt;\n four</p><ul><li><p>five</p></li><li>six</li></ul>tail"
    assert plain_text(html) == "Onetwo<three> four\n\nfive\n\nsix\n\ntail"


def test_an_unknown_service_is_named(awscli: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="submarines"):
        extract_aws(tmp_path / "aws", services=["kites", "submarines"], awscli_root=awscli)


def test_without_awscli_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotReadyError, match=r'pip install "domain-embed\[demo\]"'):
        extract_aws(tmp_path)


needs_awscli = pytest.mark.skipif(
    importlib.util.find_spec("awscli") is None, reason='awscli is not installed: pip install "domain-embed[demo]"'
)


@needs_awscli
def test_the_installed_awscli_gives_a_whole_domain(tmp_path: Path) -> None:
    extracted = extract_aws(tmp_path)
    ids = [row["_id"] for row in rows(tmp_path / "corpus.jsonl")]
    judgments = rows(tmp_path / "judgments.jsonl")
    assert len(ids) == len(set(ids)) == extracted.passages > 15_000
    assert len(judgments) == extracted.judgments > 4_500
    assert {row["passage_id"] for row in judgments} <= set(ids)
    assert extracted.judgments <= MAX_OPERATIONS_PER_TITLE * extracted.queries
    assert extracted.dropped[NO_OPERATION] < 0.1 * extracted.judgments


@needs_awscli
def test_the_fast_services_give_a_small_domain(tmp_path: Path) -> None:
    extracted = extract_aws(tmp_path, services=FAST_SERVICES)
    assert extracted.services == len(FAST_SERVICES)
    assert 1_000 <= extracted.passages <= 2_500
    assert 600 <= extracted.judgments <= 1_000
