"""Small files: whole or as they were, and what cannot be written or read is named."""

from pathlib import Path

import pytest

from domain_embed.contracts.errors import StoreError
from domain_embed.files import keep_file, read_json, replace_file


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    with pytest.raises(StoreError, match=r"/new/file.json cannot be written: "):
        replace_file(path, "{}")
    keep_file(path, '{"a": "ä"}')
    replace_file(path, b'{"a": 2}')
    assert read_json(path) == {"a": 2}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_what_is_in_the_way_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"/file/state.json cannot be written: "):
        replace_file(tmp_path / "file" / "state.json", "{}")
    with pytest.raises(StoreError, match=r"/file/state.json cannot be written: "):
        keep_file(tmp_path / "file" / "state.json", "{}")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"/folder cannot be written: "):
        replace_file(tmp_path / "folder", "{}")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_damaged_content_is_named_with_what_to_do(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(StoreError, match=r"state.json is damaged: .*\n.*delete it and run again with --force"):
        read_json(path)
