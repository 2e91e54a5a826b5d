"""What becomes of the splits that judgments were given, where it is not what they say."""

import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.notes import Note
from domain_embed.contracts.tables import SPLIT_NAMES
from domain_embed.settings import SplitSettings


def note_on_splits(judgments: pa.Table, settings: SplitSettings) -> Note | None:
    """A note where given splits are not heeded, or have to be filled up; None where there is nothing to say.

    Args:
        judgments: The columns `split` and `train_only` of a JUDGMENTS table.
        settings: By which strategy judgments are split.
    """
    asked = judgments.filter(pc.invert(judgments["train_only"]))["split"]
    counted = {one["values"]: one["counts"] for one in pc.value_counts(asked).to_pylist()}
    given = {name: counted[name] for name in SPLIT_NAMES if name in counted}
    if settings.strategy != "given":
        if not given:
            return None
        told = ", ".join(f"{name} {count:,}" for name, count in given.items())
        return Note(
            f"given splits are not heeded ({told}), because splits.strategy is `{settings.strategy}`: to keep them, "
            "set it to `given`; what was trained is then trained again"
        )
    filled = []
    if counted.get(None):
        filled.append(f"{counted[None]:,} judgments without one train, or go with their query where it is held out")
    missing = [name for name in ("validation", "test") if name not in given]
    if missing:
        filled.append(f"{' and '.join(missing)} taken out of train, as no judgment is given to it")
    return Note(f"given splits are kept; {'; '.join(filled)}") if filled else None
