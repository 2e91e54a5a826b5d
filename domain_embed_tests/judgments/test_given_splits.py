"""Given splits that are not heeded, or filled up, are said."""

from datetime import date

import pyarrow as pa
import pytest

from domain_embed.judgments.given_splits import note_on_splits
from domain_embed.settings import SplitSettings

DAYS = {"validation_from": date(2026, 1, 1), "test_from": date(2026, 2, 1)}
GIVEN, HASH, TIME = SplitSettings(strategy="given"), SplitSettings(), SplitSettings(strategy="time", **DAYS)


def told(settings: SplitSettings, *splits: str | None) -> str | None:
    table = pa.table({
        "split": pa.array([*splits, "test"], pa.string()), "train_only": [*[False] * len(splits), True]
    })  # fmt: skip
    note = note_on_splits(table, settings)
    return None if note is None else note.text


@pytest.mark.parametrize("settings", [HASH, TIME])
def test_given_splits_that_are_not_heeded_are_counted(settings: SplitSettings) -> None:
    text = told(settings, "train", "train", "test", None)
    assert text is not None
    assert text.startswith("given splits are not heeded (train 2, test 1)")
    assert f"`{settings.strategy}`" in text
    assert told(settings, None, None) is None


def test_what_is_filled_up_is_said() -> None:
    assert told(GIVEN, "train", "validation", "test") is None
    part = told(GIVEN, "train", "validation", "test", None, None)
    assert part is not None
    assert "2 judgments without one train" in part
    none = told(GIVEN, "train")
    assert none is not None
    assert "validation and test taken out of train" in none
