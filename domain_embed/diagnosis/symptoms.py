"""What is known about every failed query: the evidence that its cause is decided on."""

from collections.abc import Mapping, Sequence

import numpy as np

from domain_embed.contracts.ports import Collection, Encoder, TableReader
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Hit, Point, Where, embedded_text
from domain_embed.diagnosis.causes import TOP, Symptoms
from domain_embed.diagnosis.rankings import Rankings, best_rank
from domain_embed.diagnosis.unseen import Neighbours, Windows
from domain_embed.judgments.near_duplicates import duplicate_groups
from domain_embed.judgments.quality.rankers import Rankers
from domain_embed.judgments.quality.suspects import suspect_depth
from domain_embed.settings import DiagnosisSettings, QualitySettings

AGREEING = 3
"""Base model and BM25 agree on the passage that one ranks first and the other among so many."""
BATCH_TEXTS = 32


class Examination:
    """Looks at the failed queries of one collection.

    Args:
        rankings: All validation queries.
        collection: The base model's.
        encoder: The base model.
        passages: The PASSAGES table of the collection.
        windows: Cuts and joins texts to what the base model reads.
        settings: What counts as a near-duplicate.
        quality: From which rank on a positive is suspect.
        filters: The metadata filter that comes with a query, by query id.
    """

    def __init__(
        self, rankings: Rankings, collection: Collection, encoder: Encoder, passages: TableReader, windows: Windows,
        settings: DiagnosisSettings, quality: QualitySettings, filters: Mapping[str, Where] | None = None,
    ) -> None:  # fmt: skip
        self._rankings, self._collection, self._encoder = rankings, collection, encoder
        self._passages, self._windows, self._settings, self._quality = passages, windows, settings, quality
        self._filters = filters or {}
        self._row = {query_id: row for row, query_id in enumerate(rankings.query_ids)}

    def symptoms(self) -> list[Symptoms]:
        """Of every failed query, in the order of the query ids.

        A query fails when no positive is in the top ten, or when its filter excludes all of them.
        """
        positives = self._points({key for grades in self._rankings.qrels.values() for key in grades})
        excluded = {key for key in self._rankings.qrels if self._is_filtered_out(key, positives)}
        failed = [key for key in sorted(self._rankings.qrels) if key in excluded or not self._answered(key)]
        known = {key: tuple(one for one in sorted(self._rankings.qrels[key]) if one in positives) for key in failed}
        dense_ranks = self._dense_ranks(known, positives)
        twins, rivals = self._twins(known), self._rivals(known, dense_ranks)
        tails, joins = self._unseen_ranks(known, positives)
        return [
            Symptoms(
                query_id=key,
                positives=known[key],
                filtered_out=key in excluded,
                twin=twins.get(key),
                dense_rank=dense_ranks.get(key),
                sparse_rank=best_rank(self._hits("sparse", key), self._rankings.qrels[key]),
                hybrid_rank=best_rank(self._hits("hybrid", key), self._rankings.qrels[key]),
                tail_rank=tails.get(key),
                joined_rank=joins.get(key),
                rival=rivals.get(key),
            )
            for key in failed
        ]

    def _hits(self, mode: str, query_id: str) -> Sequence[Hit]:
        return self._rankings.hits[mode][self._row[query_id]]  # type: ignore[index]

    def _answered(self, query_id: str) -> bool:
        return best_rank(self._hits("dense", query_id)[:TOP], self._rankings.qrels[query_id]) is not None

    def _points(self, passage_ids: set[str]) -> dict[str, Point]:
        return {point.passage_id: point for point in self._collection.fetch(sorted(passage_ids))}

    def _is_filtered_out(self, query_id: str, positives: Mapping[str, Point]) -> bool:
        """Asked of the store, so that a filter means here what it means in a search."""
        where = self._filters.get(query_id)
        known = [positives[one] for one in self._rankings.qrels[query_id] if one in positives]
        if where is None or not known:
            return False
        vectors = np.stack([point.dense for point in known])
        found = self._collection.search_dense(vectors, TOP, where=where, exact=True)
        left = [{hit.passage_id for hit in hits} for hits in found]
        return not any(point.passage_id in near for point, near in zip(known, left, strict=True))

    def _dense_ranks(self, known: Mapping[str, tuple[str, ...]], positives: Mapping[str, Point]) -> dict[str, int]:
        """The rank of each query's best positive among all passages."""
        asked = [(key, passage_id) for key, ids in known.items() for passage_id in ids]
        if not asked:
            return {}
        texts = [self._rankings.queries[key] for key, _ in asked]
        rankers = Rankers(self._collection, self._encoder)
        found: dict[str, int] = {}
        ranks = rankers.dense_ranks(texts, [positives[passage_id] for _, passage_id in asked])
        for (key, _), rank in zip(asked, ranks.tolist(), strict=True):
            found[key] = min(rank, found.get(key, rank))
        return found

    def _twins(self, known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        """The first unjudged passage of the top ten that is nearly equal to a positive."""
        tops = {key: [hit.passage_id for hit in self._hits("dense", key)[:TOP]] for key in known}
        points = self._points({one for key, ids in known.items() for one in (*ids, *tops[key])})
        texts = [embedded_text(point.title, point.text) for point in points.values()]
        groups = duplicate_groups(lambda: [texts], self._settings.near_duplicates) if texts else np.empty(0, np.int64)
        group_of = dict(zip(points, groups.tolist(), strict=True))
        found = {}
        for key, ids in known.items():
            same = {group_of[one] for one in ids}
            twin = next((one for one in tops[key] if group_of[one] in same and one not in ids), None)
            if twin is not None:
                found[key] = twin
        return found

    def _rivals(self, known: Mapping[str, tuple[str, ...]], dense_ranks: Mapping[str, int]) -> dict[str, str]:
        """What both rankings agree on, where neither has a positive among the nearest five in a hundred passages."""
        rankers = Rankers(self._collection, self._encoder)
        depth = suspect_depth(self._quality, rankers.passages)
        far = [key for key in known if dense_ranks.get(key, 0) > depth]
        found = {}
        sparse = rankers.sparse_hits([self._rankings.queries[key] for key in far], depth)
        for key, by_words in zip(far, sparse, strict=True):
            by_meaning = [hit.passage_id for hit in self._hits("dense", key)]
            agreed = [one for one in by_meaning[:1] if one in by_words[:AGREEING]]
            agreed += [one for one in by_words[:1] if one in by_meaning[:AGREEING]]
            if agreed and not set(known[key]) & set(by_words):
                found[key] = agreed[0]
        return found

    def _unseen_ranks(
        self, known: Mapping[str, tuple[str, ...]], positives: Mapping[str, Point]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Where a positive's unread parts, and where it joined with a neighbour, would stand as passages."""
        neighbours = Neighbours.of({one for ids in known.values() for one in ids}, self._passages)
        pairs = {one: neighbours.pairs(one) for ids in known.values() for one in ids}
        texts = self._points({one for found in pairs.values() for pair in found for one in pair})
        tails: list[tuple[str, str]] = []
        joins: list[tuple[str, str]] = []
        for key, ids in known.items():
            for one in ids:
                point = positives[one]
                tails += ((key, tail) for tail in self._windows.tails(point.title, point.text))
                joins += (
                    (key, self._windows.joined(point.title, texts[first].text, texts[second].text))
                    for first, second in pairs[one]
                )
        return self._ranks(tails, known, "read what is cut off"), self._ranks(joins, known, "join neighbours")

    def _ranks(
        self, texts: Sequence[tuple[str, str]], known: Mapping[str, tuple[str, ...]], doing: str
    ) -> dict[str, int]:
        """The best rank of each query's texts among its hits; a text below all of them has none."""
        found: dict[str, int] = {}
        with progress_bar(doing, len(texts), "texts") as progress:
            for start in range(0, len(texts), BATCH_TEXTS):
                batch = texts[start : start + BATCH_TEXTS]
                passages = self._encoder.encode_documents([text for _, text in batch])
                queries = self._encoder.encode_queries([self._rankings.queries[key] for key, _ in batch])
                for (key, _), query, passage in zip(batch, queries, passages, strict=True):
                    scores = [hit.score for hit in self._hits("dense", key) if hit.passage_id not in known[key]]
                    rank = 1 + sum(score > float(query @ passage) for score in scores)
                    if rank <= len(scores):
                        found[key] = min(rank, found.get(key, rank))
                progress.update(len(batch))
        return found
