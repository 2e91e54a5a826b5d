"""Groups in a cell, and whose word on groups is the last."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain_embed.contracts.access import NOBODY
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.groups import groups_of_cell
from domain_embed.corpus.sources import find_files
from domain_embed.settings import CorpusSettings

LDAP = "CN=hr,OU=x,DC=example"


@pytest.mark.parametrize(
    ("cell", "groups"),
    [
        ("hr", ["hr"]), ("hr,legal", ["hr", "legal"]), (" hr , legal ", ["hr", "legal"]), ("hr;legal", ["hr", "legal"]),
        ('["hr", "legal"]', ["hr", "legal"]), (' ["Sales, EMEA"] ', ["Sales, EMEA"]), ("[]", []), ("hr,", ["hr"]),
        ("hr,,legal", ["hr", "legal"]), (LDAP, [LDAP]), (f"{LDAP};CN=legal,OU=x", [LDAP, "CN=legal,OU=x"]),
        (f"hr;{LDAP}", ["hr", LDAP]), ("human resources", ["human resources"]), ("a/b", ["a/b"]), ("müll", ["müll"]),
    ],
)  # fmt: skip
def test_what_people_write_is_read(cell: str, groups: list[str]) -> None:
    assert groups_of_cell(cell) == groups


@pytest.mark.parametrize(
    "cell",
    [",", ";", "['hr', 'legal']", "[hr]", '["hr"', "[1]", "[null]", '[["hr"]]', '[""]', "{hr,legal}", "hr|legal",
     '"hr","legal"', "hr\nlegal", "hr,it;legal", f"hr,{LDAP}", "CN=hr;OU=x", "[" * 100_000],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_or_none_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        groups_of_cell(cell)


def read(folder: Path, groups_field: str | None = "groups", **settings: Any) -> tuple[dict[str, Any], ReadReport]:
    """The metadata of the documents in `docs`, by their ids."""
    corpus, report = CorpusSettings(paths=("docs",), **settings), ReadReport()
    files = find_files(folder, corpus.paths)
    batches = read_documents(files, report, corpus, folder, groups_field=groups_field)
    return {row["doc_id"]: json.loads(row["metadata"]) for batch in batches for row in batch.to_pylist()}, report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    return tmp_path


CELLS = 'id,text,groups,team\n1,a,"hr,legal","x,y"\n2,b,hr,\n3,c,,\n4,d,[\'hr\'],\n5,e, ,\n6,f,"CN=hr,OU=x",\n'
TABS = (
    "id\ttext\tgroups\tteam\n1\ta\thr,legal\tx,y\n2\tb\thr\t\n3\tc\t\t\n4\td\t['hr']\t\n5\te\t \t\n6\tf\tCN=hr,OU=x\t\n"
)


@pytest.mark.parametrize(("suffix", "content"), [("csv", CELLS), ("tsv", TABS)])
def test_cells_of_the_groups_column_are_lists_and_others_stay(folder: Path, suffix: str, content: str) -> None:
    (folder / f"docs/faq.{suffix}").write_text(content, encoding="utf-8")
    found, report = read(folder, metadata_fields=("*",))
    assert found == {
        "1": {"groups": ["hr", "legal"], "team": "x,y"}, "2": {"groups": "hr"}, "3": {}, "4": {"groups": NOBODY},
        "5": {"groups": None}, "6": {"groups": "CN=hr,OU=x"},
    }  # fmt: skip
    assert report.hidden == 1
    assert report.hidden_samples == [
        f"{folder}/docs/faq.{suffix}, line 5: document '4': groups \"['hr']\": no list in JSON"
    ]
    assert report.left_out == {}


def test_without_access_control_a_cell_is_a_text(folder: Path) -> None:
    (folder / "docs/faq.csv").write_text(CELLS, encoding="utf-8")
    found, report = read(folder, None, metadata_fields=("*",))
    assert found["1"]["groups"] == "hr,legal"
    assert found["4"]["groups"] == "['hr']"
    assert report.hidden == 0


PATTERN = (r"docs/(?P<groups>[^/]+)/(?P<team>[^/]+)/",)


def test_the_path_has_the_last_word_on_groups_and_the_file_on_the_rest(folder: Path) -> None:
    place = folder / "docs/hr/ops"
    place.mkdir(parents=True)
    (place / "a.md").write_text("---\ngroups: [everyone]\nteam: own\n---\nText.", encoding="utf-8")
    (place / "b.jsonl").write_text(
        '{"_id": "b", "text": "t", "groups": "everyone", "metadata": {"groups": ["all"], "team": "own"}}\n',
        encoding="utf-8",
    )
    (place / "c.csv").write_text("id,text,groups,team\nc,t,['x'],own\n", encoding="utf-8")
    own = {"path_metadata": PATTERN, "metadata_fields": ("*",)}
    expected = {"groups": "hr", "team": "own"}
    found, report = read(folder, **own)
    assert found == {"docs/hr/ops/a.md": expected, "b": expected, "c": expected}
    assert report.hidden == 0
    found, _ = read(folder, None, **own)
    assert found["docs/hr/ops/a.md"]["groups"] == ["everyone"]
    assert found["b"]["groups"] == ["all"]
