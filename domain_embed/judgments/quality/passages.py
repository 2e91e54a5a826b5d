"""What is wrong with passages alone: empty ones and copies."""

import numpy as np
import pandas as pd

from domain_embed.contracts.ports import TableReader
from domain_embed.judgments.near_duplicates import duplicate_groups
from domain_embed.judgments.quality.findings import KEPT_PER_CHECK, Findings, quoted
from domain_embed.judgments.quality.texts import chosen_texts, passage_texts, repeatable
from domain_embed.settings import QualitySettings


def check_passages(passages: TableReader, settings: QualitySettings, findings: Findings) -> None:
    """`short_text`, `duplicate_passage` and `near_duplicate_passage`.

    A copy is one finding, whatever the number of copies before it; the first one is none.
    """
    if findings.wanted("short_text"):
        _check_short(passages, settings, findings)
    if findings.wanted("duplicate_passage", "near_duplicate_passage"):
        _check_copies(passages, settings, findings)


def _check_short(passages: TableReader, settings: QualitySettings, findings: Findings) -> None:
    for ids, texts in passage_texts(passages, "look for near-empty passages"):
        for passage_id, text in zip(ids, texts, strict=True):
            if len(text) < settings.min_characters:
                detail = f"{len(text)} characters: {quoted(text)}" if text else "no text at all"
                findings.add("short_text", "passage", detail, passage_id=passage_id)


def _check_copies(passages: TableReader, settings: QualitySettings, findings: Findings) -> None:
    frame = passages.read(["passage_id", "content_hash"]).to_pandas()
    ids = frame["passage_id"]
    hashes = pd.Series(pd.factorize(frame["content_hash"])[0])
    rows = np.arange(len(frame))
    same_as = hashes.drop_duplicates().index.to_numpy()[hashes.to_numpy()]
    _report_copies("duplicate_passage", "the same text", same_as, rows, ids, passages, findings)
    if findings.wanted("near_duplicate_passage"):
        read = repeatable(lambda: passage_texts(passages, "look for near-duplicate passages"))
        near = duplicate_groups(read, settings.near_duplicates)
        exact = same_as != rows  # already said
        _report_copies(
            "near_duplicate_passage", "nearly the same text", np.where(exact, rows, near), rows, ids, passages, findings
        )


def _report_copies(
    check: str, what: str, copy_of: np.ndarray, rows: np.ndarray, ids: pd.Series, passages: TableReader,
    findings: Findings,
) -> None:  # fmt: skip
    """One finding for each row that is a copy of another."""
    copies = rows[copy_of != rows]
    shown = set(ids.iloc[copies[:KEPT_PER_CHECK]])
    texts = {
        passage_id: text
        for batch in chosen_texts(passages, shown, "read copies")
        for passage_id, text in zip(*batch, strict=True)
    }
    for row in copies.tolist():
        passage_id, original = ids.iloc[row], ids.iloc[copy_of[row]]
        detail = f"{what} as {original}: {quoted(texts.get(passage_id, ''))}"
        findings.add(check, "passage", detail, passage_id=passage_id)
