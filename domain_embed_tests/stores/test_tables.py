"""Tables: written whole or not at all, with a version that follows content and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import NotReadyError, StoreError
from domain_embed.contracts.tables import JUDGMENTS, PASSAGES
from domain_embed.stores.tables import TableStore
from domain_embed_tests import scenario

SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int32()), ("x", pa.float64()), ("split", pa.string())])
ROWS = [
    {"id": "a", "n": 1, "x": 0.5, "split": None},
    {"id": "b", "n": 2, "x": 0.25, "split": "train"},
    {"id": "c", "n": 3, "x": -1.0, "split": ""},
]


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path / "tables")


def table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def version(store: TableStore, *rows: dict[str, object]) -> str:
    return store.write_table("versioned", table(*rows)).version


def test_what_was_written_is_read_back(store: TableStore) -> None:
    written = store.write_table("t", table(*ROWS))
    read = store.read("t")
    assert read.read().to_pylist() == ROWS
    assert (read.version, read.count) == (written.version, written.count) == (version(store, *ROWS), 3)


def test_batches_are_bounded_in_order_and_hold_the_columns_asked_for(store: TableStore) -> None:
    passages = scenario.passages_table()
    batches = list(store.write_table("passages", passages).batches(15, columns=["passage_id", "title"]))
    assert [len(batch) for batch in batches] == [15, 15, 10]
    assert pa.Table.from_batches(batches) == passages.select(["passage_id", "title"])
    assert store.read("passages").read(["text"]) == passages.select(["text"])


def test_the_version_does_not_depend_on_the_order_of_rows_or_how_they_were_cut(store: TableStore) -> None:
    reference = version(store, *ROWS)
    assert version(store, *ROWS[::-1]) == reference
    batches = [table(row).to_batches()[0] for row in (ROWS[1], ROWS[0], ROWS[2])]
    assert store.write("cut", batches, SCHEMA).version == reference


@pytest.mark.parametrize(
    "changes",
    [{"id": "A"}, {"id": "a "}, {"n": 2}, {"n": None}, {"x": 0.5000000001}, {"split": "test"}, {"split": ""}],
)
def test_one_changed_cell_changes_the_version(store: TableStore, changes: dict[str, object]) -> None:
    assert version(store, {**ROWS[0], **changes}, *ROWS[1:]) != version(store, *ROWS)


def test_one_row_more_less_or_twice_changes_the_version(store: TableStore) -> None:
    versions = {version(store, *ROWS), version(store, *ROWS[1:]), version(store, *ROWS, ROWS[0]), version(store)}
    assert len(versions) == 4


def test_the_same_cells_under_another_name_or_in_another_column_are_other_content(store: TableStore) -> None:
    names = pa.Table.from_pylist([{"a": "x", "b": "y"}])
    swapped = pa.Table.from_pylist([{"a": "y", "b": "x"}])
    renamed = names.rename_columns(["a", "c"])
    assert len({store.write_table("t", one).version for one in (names, swapped, renamed)}) == 3


@given(rows=st.lists(st.tuples(st.text(max_size=3), st.integers(-9, 9), st.none() | st.text(max_size=2)), max_size=6))
def test_versions_are_equal_exactly_for_equal_rows(store: TableStore, rows: list[tuple[str, int, str | None]]) -> None:
    dicts = [{"id": key, "n": n, "x": n / 3, "split": split} for key, n, split in rows]
    assert version(store, *reversed(dicts)) == version(store, *dicts)
    if dicts:
        assert version(store, *dicts[:-1], {**dicts[-1], "n": 10}) != version(store, *dicts)


def test_the_version_of_the_scenario_is_pinned(store: TableStore) -> None:
    """A library upgrade that changes it would make every stored table stale."""
    passages = scenario.passages_table(scenario.CORPUS[:2])
    assert store.write_table("t", passages).version == "11cdd524def1ecf9"


def test_an_empty_table_has_a_version_and_its_schema(store: TableStore) -> None:
    written = store.write("t", [], JUDGMENTS)
    assert written.count == 0
    assert written.read().schema.equals(JUDGMENTS)
    assert written.version != store.write("u", [], PASSAGES).version


def test_a_failing_source_leaves_the_old_table_and_no_litter(store: TableStore, tmp_path: Path) -> None:
    before = store.write_table("t", table(*ROWS))

    def failing() -> Iterator[pa.RecordBatch]:
        yield from table(ROWS[0]).to_batches()
        raise KeyError("source broke")

    with pytest.raises(KeyError, match="source broke"):
        store.write("t", failing(), SCHEMA)
    assert store.read("t").version == before.version
    assert store.read("t").read().to_pylist() == ROWS
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["t.parquet"]


def test_a_reader_keeps_its_table_while_a_newer_one_takes_its_place(store: TableStore) -> None:
    old = store.write_table("t", table(*ROWS))
    new = store.write_table("t", table(ROWS[0]))
    assert old.read().to_pylist() == ROWS
    assert [batch.num_rows for batch in old.batches(2)] == [2, 1]
    assert new.read().to_pylist() == ROWS[:1]


def test_a_table_can_be_written_from_what_it_holds(store: TableStore) -> None:
    before = store.write_table("t", table(*ROWS))
    after = store.write("t", before.batches(1), SCHEMA)
    assert (after.version, after.count) == (before.version, 3)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"table .*/file/t.parquet cannot be written"):
        TableStore(tmp_path / "file").write_table("t", table(*ROWS))
    with pytest.raises(StoreError, match=r"table .*/file/deep/t.parquet cannot be written"):
        TableStore(tmp_path / "file" / "deep").write_table("t", table(*ROWS))


def test_a_table_nobody_wrote_is_not_ready(store: TableStore, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=f"{tmp_path}/tables/t.parquet does not exist yet"):
        store.read("t")


def test_a_damaged_table_is_named(store: TableStore, tmp_path: Path) -> None:
    store.write_table("t", table(*ROWS))
    path = tmp_path / "tables" / "t.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=f"{path} is damaged"):
        store.read("t")
