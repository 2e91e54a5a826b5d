"""How long a training may take: what an epoch took the last time, and the most that the settings allow."""

from dataclasses import dataclass

from pydantic import ValidationError

from domain_embed.evaluation.training_record import TrainingRecord
from domain_embed.settings import ADAPTERS
from domain_embed.stores.workspace import Workspace
from domain_embed.training.course import MOST_EPOCHS


@dataclass(frozen=True)
class TrainingTime:
    """Of the next training; an epoch's seconds, with its validation, are None before there was a training to tell.

    `trainings` is how many there are: one for each learning rate of a search.
    """

    epoch_seconds: float | None
    most_epochs: int
    max_minutes: float | None
    trainings: int = 1

    @property
    def most_seconds(self) -> float | None:
        """The longest that all trainings can take, but for what is finished after the time is up; None if unknown."""
        limits = [60 * self.max_minutes] if self.max_minutes is not None else []
        if self.epoch_seconds is not None:
            limits.append(self.epoch_seconds * self.most_epochs)
        return self.trainings * min(limits) if limits else None


def training_time(workspace: Workspace) -> TrainingTime | None:
    """By the model trained last on this machine's store; None where an adapter is trained, which takes seconds."""
    settings = workspace.settings.training
    if isinstance(settings.method, ADAPTERS):
        return None
    most = MOST_EPOCHS if settings.epochs == "auto" else settings.epochs
    trainings = max(1, len(set(settings.search.learning_rates)))
    return TrainingTime(_epoch_seconds(workspace), most, settings.max_minutes, trainings)


def _epoch_seconds(workspace: Workspace) -> float | None:
    newest = workspace.newest_checkpoint
    record = workspace.checkpoint_record(newest) if newest is not None else None
    if record is None:
        return None
    try:
        history = TrainingRecord.of(record).history
    except ValidationError:  # of another version: what it does not tell is not known
        return None
    return history.seconds / history.epochs[-1] if history.seconds and history.epochs else None
