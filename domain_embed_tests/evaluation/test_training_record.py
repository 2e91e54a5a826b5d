"""What a report takes from a checkpoint's record, whichever version wrote it."""

import pytest

from domain_embed.evaluation.training_record import TrainingRecord


def test_a_record_that_says_little_gives_little() -> None:
    record = TrainingRecord.of({"domain": "shop", "history": {"loss": [2.0], "validation": [0.5, 0.6], "kept": 2}})
    assert record.history.validation == (0.5, 0.6)
    assert (record.alpha, record.interpolation, record.measured_forgetting) == (None, (), None)


def test_the_curve_stands_over_the_epochs_where_they_are_known() -> None:
    history = TrainingRecord.of({"history": {"validation": [0.5, 0.6], "epochs": [0.5, 1.0]}}).history
    assert history.curve == [(0.5, 0.5), (1.0, 0.6)]
    assert TrainingRecord.of({"history": {"validation": [0.5, 0.6]}}).history.curve == [(1.0, 0.5), (2.0, 0.6)]


def test_forgetting_without_probes_was_not_measured() -> None:
    assert TrainingRecord.of({"forgetting": {"base": {}, "tuned": {}}}).measured_forgetting is None
    forgetting = TrainingRecord.of({"forgetting": {"base": {"faq": 0.8}, "tuned": {"faq": 0.7}}}).measured_forgetting
    assert forgetting is not None
    assert forgetting.loss == pytest.approx(0.1)


def test_a_part_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="interpolation"):
        TrainingRecord.of({"interpolation": [{"alpha": "half"}]})
