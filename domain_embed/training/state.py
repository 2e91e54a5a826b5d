"""The saved state of an unfinished training: what is needed to go on as if nothing had happened."""

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from domain_embed.contracts.errors import StoreError
from domain_embed.files import private_file
from domain_embed.training.average import WeightAverage, trained_weights

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"


@dataclass
class History:
    """What has happened so far: `loss[i]` of step i, and nDCG@10 of every validation.

    `validated_at` are the steps done at each validation, `epochs` the epochs, which need not be whole; `kept` is the
    1-based number of the validation whose model is kept, 0 where it is the highest, and `kept_scores` its nDCG@10 by
    query. `ended` says why training ended: by `epochs`, `patience` or `max_minutes`; `seconds` is how long it took.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    validated_at: list[int] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    kept: int = 0
    kept_scores: list[float] = field(default_factory=list)
    ended: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return len(self.loss)

    @property
    def best(self) -> int:
        """1-based number of the validation that is kept; of the highest the earliest, where none was noted."""
        return self.kept or self.validation.index(max(self.validation)) + 1

    @property
    def best_figure(self) -> float:
        """Its nDCG@10."""
        return self.validation[self.best - 1]

    @property
    def curve(self) -> list[tuple[float, float]]:
        """nDCG@10 of every validation over the epochs that had been trained; without these, one each."""
        epochs = self.epochs or [float(number) for number in range(1, len(self.validation) + 1)]
        return list(zip(epochs, self.validation, strict=True))

    @property
    def best_epoch(self) -> float:
        """How many epochs the kept model has learned."""
        return self.curve[self.best - 1][0]

    def to_json(self) -> dict[str, Any]:
        """Its part of a checkpoint's record."""
        told = ("loss", "validation", "epochs", "ended", "seconds")
        return {name: getattr(self, name) for name in told} | {"best": self.best}


def save_state(
    folder: Path, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer", history: History,
    average: WeightAverage | None = None,
) -> None:  # fmt: skip
    """Writes the state in one step; the previous one stays until then. Raises StoreError when it cannot."""
    import torch

    state: dict[str, Any] = {
        "model": trained_weights(model),
        "optimizer": optimizer.state_dict(),
        "history": asdict(history),
    }
    if average is not None:
        state["average"] = average.state()
    draft = folder / f"{STATE_FILE}.draft"
    try:
        torch.save(state, private_file(draft))
        draft.replace(folder / STATE_FILE)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        with suppress(OSError):  # the reason to report is the first
            draft.unlink()
        raise StoreError(f"training state in {folder} cannot be written: {error}", "free space") from error


def load_state(
    folder: Path, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer", average: WeightAverage | None = None
) -> History:
    """Puts model, optimizer and average where the saved state left them; an empty history when there is none.

    Raises StoreError when the state is damaged.
    """
    import torch

    path = folder / STATE_FILE
    if not path.exists():
        return History()
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)  # saved on a GPU or not
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        if average is not None:
            average.load(state["average"], model)
        history = History(**state["history"])
    except (OSError, EOFError, UnpicklingError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", f"delete {folder} to train from the beginning") from error
    logger.info("training resumes after step %d", history.steps)
    return history
