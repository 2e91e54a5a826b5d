"""The time of a training before it: an epoch's by the last one, and the most that the settings allow."""

import pytest

from domain_embed.defs.training_time import TrainingTime, training_time
from domain_embed.printing.work import training_words
from domain_embed.training.course import MOST_EPOCHS
from domain_embed_tests.whole import Whole


@pytest.mark.parametrize(
    ("time", "most"),
    [
        (TrainingTime(90.0, 16, None), 1440.0),
        (TrainingTime(90.0, 16, 10.0), 600.0),
        (TrainingTime(90.0, 2, 10.0), 180.0),
        (TrainingTime(90.0, 16, 10.0, trainings=3), 1800.0),
        (TrainingTime(None, 16, 10.0), 600.0),
        (TrainingTime(None, 16, None), None),
    ],
)
def test_the_most_is_the_lower_limit_for_every_training(time: TrainingTime, most: float | None) -> None:
    assert time.most_seconds == most


def test_an_epoch_takes_as_long_as_in_the_last_training(whole: Whole) -> None:
    newest = whole.workspace.newest_checkpoint
    assert newest is not None
    record = whole.workspace.checkpoint_record(newest)
    assert record is not None
    history = record["history"]
    assert (history["epochs"], history["ended"]) == ([1.0, 2.0], "epochs")
    found = training_time(whole.workspace)
    assert found == TrainingTime(history["seconds"] / 2, 2, None)
    whole.edit("training", epochs="auto", max_minutes=5)
    again = training_time(whole.workspace)
    assert again == TrainingTime(history["seconds"] / 2, MOST_EPOCHS, 5.0)
    whole.edit("training", method={"kind": "query_adapter"})
    assert training_time(whole.workspace) is None


def test_it_is_told_in_one_line() -> None:
    assert training_words(TrainingTime(90.0, 16, None)) == (
        "training: up to 16 epochs; one epoch: about 90 s, 24 min at most"
    )
    assert training_words(TrainingTime(None, 16, 10.0)) == (
        "training: up to 16 epochs, max_minutes 10; one epoch: known after the first training, 10 min at most"
    )
