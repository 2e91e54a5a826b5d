"""The saved state of an unfinished training: what is needed to go on as if nothing had happened."""

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from domain_embed.contracts.errors import StoreError
from domain_embed.files import private_file

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"


@dataclass
class History:
    """What has happened so far: `loss[i]` of step i, validation nDCG@10 per finished epoch, and the best epoch."""

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return len(self.loss)

    @property
    def best_epoch(self) -> int:
        """1-based number of the epoch with the highest validation figure; the earliest of equals."""
        return self.validation.index(max(self.validation)) + 1

    def stalled(self, patience: int) -> bool:
        """Whether the last `patience` epochs were all no better than the best before them."""
        return bool(self.validation) and len(self.validation) - self.best_epoch >= patience


def save_state(
    folder: Path, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer", history: History
) -> None:
    """Writes the state in one step; the previous one stays until then. Raises StoreError when it cannot."""
    import torch

    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    state = {"model": trained, "optimizer": optimizer.state_dict(), "history": asdict(history)}
    draft = folder / f"{STATE_FILE}.draft"
    try:
        torch.save(state, private_file(draft))
        draft.replace(folder / STATE_FILE)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        with suppress(OSError):  # the reason to report is the first
            draft.unlink()
        raise StoreError(f"training state in {folder} cannot be written: {error}", "free space") from error


def load_state(folder: Path, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer") -> History:
    """Puts model and optimizer where the saved state left them; an empty history when there is none.

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
        history = History(**state["history"])
    except (OSError, EOFError, UnpicklingError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", f"delete {folder} to train from the beginning") from error
    logger.info("training resumes after step %d", history.steps)
    return history
