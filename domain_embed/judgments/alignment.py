"""Judgments about a document, or about an answer's text, narrowed to the passage that is meant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

import numpy as np

from domain_embed.contracts.ports import Ranker, TableReader
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Hit
from domain_embed.encoding.words import words
from domain_embed.settings import AlignmentSettings

ANSWER_CANDIDATES = 20
"""How many passages BM25 offers for an answer whose document is not known."""
BATCH_LABELS = 256
SOFTMAX_SCALE = 20.0
"""Of cosines: the usual inverse temperature of contrastive training, and of this product's."""
MIN_SHARE_WORTH_ASKING = 0.5
"""A passage with less of an answer in it is not the one that is meant."""
MIN_PASSAGE_WORDS = 20
"""A passage with fewer words stands in a long answer by chance."""


@dataclass(frozen=True)
class Label:
    """What is to be aligned: a query with the document that answers, the text of the answer, or both."""

    query: str
    document: str | None
    answer: str | None


@dataclass(frozen=True)
class Alignment:
    """The passage that is meant, how sure that is from 0 to 1, and the grounds in words.

    `passage_id` is None when no passage comes into question.
    """

    passage_id: str | None
    confidence: float
    grounds: str


@dataclass
class Places:
    """Which passages exist and which documents hold them."""

    document_of: dict[str, str] = field(default_factory=dict)
    passages_of: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, passages: TableReader) -> "Places":
        """Reads the ids of a PASSAGES table."""
        places = cls()
        for batch in passages.batches(65_536, columns=["passage_id", "doc_id"]):
            for passage_id, doc_id in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                places.document_of[passage_id] = doc_id
                if passage_id != doc_id:
                    places.passages_of.setdefault(doc_id, []).append(passage_id)
        return places

    def passages(self, target: str) -> list[str]:
        """The passages a label about `target` may mean: itself, or those of the document; none when unknown."""
        return [target] if target in self.document_of else self.passages_of.get(target, [])


class Aligner:
    """Finds the passage a label means.

    With an answer, the passage in which at least `min_answer_share` of its words stand in order, or which itself
    stands in it so far. Among several, and without an answer, base model and BM25 decide together: with d the softmax
    of the cosines and s the share of the BM25 scores among the candidates, a passage's confidence is
    1 − (1 − d)(1 − s), high when either is sure and highest when both agree.
    """

    def __init__(self, ranker: Ranker, places: Places, settings: AlignmentSettings) -> None:
        self._ranker, self._places, self._settings = ranker, places, settings

    def align(self, labels: Sequence[Label]) -> Iterator[Alignment]:
        """One alignment for each label, in order."""
        with progress_bar("align judgments", len(labels), "judgments") as progress:
            for start in range(0, len(labels), BATCH_LABELS):
                batch = labels[start : start + BATCH_LABELS]
                yield from self._align_batch(batch)
                progress.update(len(batch))

    def _align_batch(self, batch: Sequence[Label]) -> list[Alignment]:
        candidates = self._candidates(batch)
        shares = self._answer_shares(batch, candidates)
        found: list[Alignment | None] = []
        for label, ids, share in zip(batch, candidates, shares, strict=True):
            found.append(self._by_answer(ids, share) if label.answer else None)
        open_rows = [row for row, alignment in enumerate(found) if alignment is None]
        holders = [
            [key for key in candidates[row] if shares[row][key] >= self._settings.min_answer_share]
            if batch[row].answer
            else candidates[row]
            for row in open_rows
        ]
        ranked = self._by_ranking([batch[row].query for row in open_rows], holders)
        for row, alignment in zip(open_rows, ranked, strict=True):
            found[row] = alignment
        return [alignment for alignment in found if alignment is not None]

    def _candidates(self, batch: Sequence[Label]) -> list[list[str]]:
        """The passages of the document, or those BM25 finds for the answer."""
        unplaced = [label.answer or "" for label in batch if label.document is None]
        hits = iter(self._ranker.rank(unplaced, ANSWER_CANDIDATES, ["sparse"])["sparse"] if unplaced else ())
        return [
            [hit.passage_id for hit in next(hits)] if label.document is None else self._places.passages(label.document)
            for label in batch
        ]

    def _answer_shares(self, batch: Sequence[Label], candidates: Sequence[Sequence[str]]) -> list[dict[str, float]]:
        wanted = sorted({key for label, ids in zip(batch, candidates, strict=True) if label.answer for key in ids})
        points = self._ranker.collection.fetch(wanted) if wanted else []
        held = {point.passage_id: words(f"{point.title} {point.text}") for point in points}
        return [
            {key: answer_share(words(label.answer), held[key]) for key in ids} if label.answer else {}
            for label, ids in zip(batch, candidates, strict=True)
        ]

    def _by_answer(self, ids: Sequence[str], shares: Mapping[str, float]) -> Alignment | None:
        """The only passage that holds the answer; None when several do."""
        holders = [key for key in ids if shares[key] >= self._settings.min_answer_share]
        if len(holders) > 1:
            return None
        best = max(ids, key=lambda key: shares[key], default=None)
        if best is None or shares[best] < MIN_SHARE_WORTH_ASKING:
            return Alignment(None, 0.0, "the answer stands in no passage")
        if not holders:  # certainly less than a passage that holds it
            confidence = shares[best] * self._settings.min_confidence
            return Alignment(best, confidence, f"only {shares[best]:.0%} of the answer stands in it")
        return Alignment(best, shares[best], f"{shares[best]:.0%} of the answer stands in it")

    def _by_ranking(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Alignment]:
        if not queries:
            return []
        rankings = self._ranker.rank(queries, self._settings.depth, ["dense", "sparse"], exact=True)
        return [
            _most_likely(ids, _scores(dense), _scores(sparse))
            for ids, dense, sparse in zip(candidates, rankings["dense"], rankings["sparse"], strict=True)
        ]


def answer_share(answer: Sequence[str], passage: Sequence[str]) -> float:
    """The larger of two shares: of the answer's words that stand in the passage in order, and the other way round.

    The second counts for passages of at least 20 words only: parts of an answer that is longer than a passage.
    """
    if not answer or not passage:
        return 0.0
    if f" {' '.join(answer)} " in f" {' '.join(passage)} ":
        return 1.0
    blocks = SequenceMatcher(None, answer, passage, autojunk=False).get_matching_blocks()
    common = sum(block.size for block in blocks)
    return max(common / len(answer), common / len(passage) if len(passage) >= MIN_PASSAGE_WORDS else 0.0)


def _most_likely(ids: Sequence[str], dense: Mapping[str, float], sparse: Mapping[str, float]) -> Alignment:
    ranked = [key for key in ids if key in dense or key in sparse]
    if not ranked:
        return Alignment(None, 0.0, "neither the base model nor BM25 finds a passage of it")
    cosines = np.array([dense.get(key, -np.inf) for key in ranked])
    weights = np.exp(SOFTMAX_SCALE * (cosines - cosines.max())) if np.isfinite(cosines).any() else np.zeros(len(ranked))
    by_dense = weights / max(weights.sum(), 1.0)  # the best weighs 1
    scores = np.array([sparse.get(key, 0.0) for key in ranked])
    by_sparse = scores / scores.sum() if scores.any() else scores
    confidence = 1 - (1 - by_dense) * (1 - by_sparse)
    best = int(np.argmax(confidence))
    agree = int(np.argmax(by_dense)) == int(np.argmax(by_sparse)) == best
    told = "base model and BM25 agree on it" if agree else "base model and BM25 do not agree"
    return Alignment(ranked[best], float(confidence[best]), f"{told}, among {len(ids)} passages")


def _scores(hits: Sequence[Hit]) -> dict[str, float]:
    return {hit.passage_id: hit.score for hit in hits}
