"""A finished training on disk: a sentence-transformers folder under its fingerprint, with the record of its making."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError
from domain_embed.files import RECORD_FILE, keep_file, private_folder, tighten
from domain_embed.training.interpolation import Sweep
from domain_embed.training.state import History

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Checkpoint:
    """A finished training: a sentence-transformers folder, its fingerprint, and how it went.

    `pool_vectors` are those of the validation pool's passages by this model, (n, dim) float32; None where they were
    not made now: of the base model, and of an epoch that was validated before an interruption.
    """

    path: Path
    fingerprint: str
    history: History
    learning_rate: float
    base_ndcg: float
    sweep: Sweep
    pool_vectors: NDArray[np.float32] | None = None


def save_model(model: "SentenceTransformer", folder: Path) -> None:
    """Replaces `folder` by the model; a crash in between leaves it absent. Raises StoreError when it cannot."""
    from safetensors import SafetensorError

    draft = folder.with_name(f"{folder.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        private_folder(draft)
        model.save_pretrained(str(draft), create_model_card=False)
        tighten(draft)
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"the model in {folder} cannot be written: {error}", "free space") from error


def publish(made: Path, target: Path, record: Mapping[str, Any]) -> None:
    """Makes the folder visible as `target`, with its record; where that is there already, only the record is new.

    Raises StoreError when it cannot be written.
    """
    text = json.dumps(record, indent=1)
    try:
        if target.exists():
            keep_file(target / RECORD_FILE, text)
        else:
            keep_file(made / RECORD_FILE, text)
            made.replace(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error}", "free space or fix permissions") from error


def prepare_folder(folder: Path) -> None:
    """Makes a folder for unfinished work. Raises StoreError when it cannot."""
    try:
        private_folder(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error}", "free space or fix permissions") from error
