"""Near-duplicate texts: MinHash signatures in bands find candidates, exact Jaccard decides.

Broder (1997), "On the resemblance and containment of documents"; banding as in Leskovec, Rajaraman and Ullman, "Mining
of Massive Datasets", chapter 3.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain_embed.encoding.words import words

SHINGLE = 5
"""Characters of a shingle."""
HASHES = 96
"""Length of a signature."""
RECALL = 0.999
"""Probability that a pair exactly at the threshold becomes a candidate; a more similar one is missed less often."""
MAX_BUCKET = 16
"""In a larger bucket a text is compared with its predecessor and the bucket's first only: work stays linear."""
MAX_CHARACTERS = 20_000
"""What follows in a longer text is not looked at."""

_MAX_ROWS = 16
# A candidate is compared exactly when its signatures agree as they do at the threshold, or up to so many standard
# deviations less: a true pair is lost here three times in 100,000.
_DEVIATIONS = 4
_PAIRS_PER_ESTIMATE = 1 << 16
# A chunk's hashes stay in the second-level cache while all permutations go over them.
_CHARACTERS_PER_CHUNK = 1 << 16
_CHARACTERS_PER_COMPARISON = 1 << 21
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_RANDOM = np.random.default_rng(0)
_MULTIPLIERS = _RANDOM.integers(1 << 32, size=HASHES, dtype=np.uint32) | np.uint32(1)
_OFFSETS = _RANDOM.integers(1 << 32, size=HASHES, dtype=np.uint32)

Batches: TypeAlias = Callable[[], Iterable[Sequence[str]]]
"""Gives the same texts in the same order each time it is called; they are read twice and never all held."""


def near_duplicate_pairs(batches: Batches, threshold: float) -> NDArray[np.int64]:
    """Pairs of texts whose sets of character 5-grams have a Jaccard overlap of at least `threshold`.

    Case, white space and punctuation count for nothing. No pair is false. A pair exactly at the threshold is found
    with a probability of at least RECALL, except in families of more than MAX_BUCKET texts that all look alike,
    which are connected through some of their pairs. Texts that are equal once folded are paired with the first of
    them only, so that many copies make few pairs. Equal arguments give equal results.

    Memory is 2 · HASHES bytes a text and the texts of similar pairs. Work grows with the number of texts, and with the
    number of pairs about as alike as the threshold: below 0.8 a corpus of filled-in templates takes long.

    Args:
        batches: The texts.
        threshold: In (0.5, 1].

    Returns:
        (n_pairs, 2) int64, numbers of texts, the smaller first; sorted, without repeats.
    """
    identities, signatures = _read(batches())
    _, first, same_as = np.unique(identities, return_index=True, return_inverse=True)
    copies = np.column_stack([first[same_as], np.arange(len(identities))])
    copies = copies[copies[:, 0] != copies[:, 1]]
    distinct = np.sort(first)
    candidates = distinct[_candidates(signatures[distinct], threshold)]
    similar = candidates[_overlaps(batches(), candidates) >= threshold - 1e-9]
    pairs = np.concatenate([copies, similar])
    ordered: NDArray[np.int64] = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return ordered


def duplicate_groups(batches: Batches, threshold: float) -> NDArray[np.int64]:
    """For each text the number of the first text of its group; its own when nothing is like it.

    A group is connected by pairs of `near_duplicate_pairs`: its ends may be less alike than `threshold`.

    Returns:
        (n_texts,) int64.
    """
    count = sum(len(texts) for texts in batches())
    pairs = near_duplicate_pairs(batches, threshold)
    group = connected_groups(pairs[:, 0], pairs[:, 1], count)
    _, first = np.unique(group, return_index=True)
    firsts: NDArray[np.int64] = first[group]
    return firsts


def connected_groups(left: NDArray[np.int64], right: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(count,) for each of so many items the number of its group; `left` and `right` (n,) name the connected pairs."""
    from scipy.sparse import coo_array  # a third of a second that `plan` need not wait for
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(count, count))
    _, groups = connected_components(edges, directed=False)
    return groups.astype(np.int64)


def folded(text: str) -> str:
    """The text as it is compared: case folded, one space for whatever stands between words."""
    start = text[:MAX_CHARACTERS]
    between = " ".join(words(start, characters=False)).replace("_", " ")
    return " ".join(between.split()) or start.casefold().strip()


def _read(batches: Iterable[Sequence[str]]) -> tuple[NDArray[np.uint64], NDArray[np.uint16]]:
    """(n,) identities of the folded texts and their (n, HASHES) signatures."""
    identities, signatures = [np.empty(0, np.uint64)], [np.empty((0, HASHES), np.uint16)]
    for batch in batches:
        texts = [folded(text) for text in batch]
        if texts:
            identities.append(pd.util.hash_array(np.array(texts, dtype=object), categorize=False))
            signatures += [_signatures(texts[chunk]) for chunk in _chunks(texts, _CHARACTERS_PER_CHUNK)]
    return np.concatenate(identities), np.concatenate(signatures)


def _rows_per_band(threshold: float) -> int:
    """As many rows as RECALL allows: the more, the fewer candidates are in vain."""
    return max(
        rows for rows in range(1, _MAX_ROWS + 1) if 1 - (1 - threshold**rows) ** (HASHES // rows) >= RECALL
    )  # fmt: skip


def _chunks(texts: Sequence[str], characters: int) -> Iterator[slice]:
    """Consecutive slices of about so many characters, at least one text each."""
    ends = np.cumsum([len(text) for text in texts])
    borders = np.flatnonzero(np.diff(ends // characters)) + 1
    for start, end in zip([0, *borders.tolist()], [*borders.tolist(), len(texts)], strict=True):
        yield slice(start, end)


def _signatures(texts: Sequence[str]) -> NDArray[np.uint16]:
    """For each text and permutation 16 bits of the smallest shingle: others agree once in 65,536 times."""
    hashes, counts = _shingles(texts)
    starts = np.cumsum(counts) - counts
    values = (hashes >> np.uint64(32)).astype(np.uint32)
    signatures = np.empty((len(texts), HASHES), dtype=np.uint16)
    for number in range(HASHES):
        smallest = np.minimum.reduceat(values * _MULTIPLIERS[number] + _OFFSETS[number], starts)
        signatures[:, number] = _mixed(smallest.astype(np.uint64)) >> np.uint64(48)
    return signatures


def _shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The 64-bit hashes of all texts' shingles, one text after the other with repeats, and how many each has.

    A text shorter than a shingle is one.
    """
    padded = [text.ljust(SHINGLE, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded])
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    windows = len(points) - SHINGLE + 1
    hashes = np.zeros(windows, dtype=np.uint64)
    for place in range(SHINGLE):
        hashes = hashes * _BASE + points[place : place + windows]
    inside = np.ones(len(points), dtype=bool)
    for back in range(1, SHINGLE):
        inside[np.cumsum(lengths) - back] = False
    return _mixed(hashes[inside[:windows]]), lengths - SHINGLE + 1


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of the result depends on every bit of the value (the finalizer of MurmurHash3)."""
    for _ in range(2):
        values = values ^ (values >> np.uint64(33))
        values = values * _MIX
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(33))
    return mixed


def _candidates(signatures: NDArray[np.uint16], threshold: float) -> NDArray[np.int64]:
    """(n_candidates, 2) rows that agree in a band and nearly enough in all, the smaller first."""
    count, rows = len(signatures), _rows_per_band(threshold)
    codes = np.empty(0, dtype=np.int64)
    for start in range(0, HASHES - rows + 1, rows):
        key = np.zeros(count, dtype=np.uint64)
        for column in range(start, start + rows):
            key = key * _BASE + signatures[:, column]
        left, right = _bucket_pairs(_mixed(key))
        likely = _look_alike(signatures, left, right, threshold)
        codes = np.union1d(codes, left[likely] * count + right[likely])
    return np.column_stack(np.divmod(codes, max(count, 1)))


def _look_alike(
    signatures: NDArray[np.uint16], left: NDArray[np.int64], right: NDArray[np.int64], threshold: float
) -> NDArray[np.bool_]:
    """Which pairs' signatures agree about as often as those of a pair at the threshold."""
    least = HASHES * threshold - _DEVIATIONS * (HASHES * threshold * (1 - threshold)) ** 0.5
    likely = np.empty(len(left), dtype=bool)
    for start in range(0, len(left), _PAIRS_PER_ESTIMATE):
        some = slice(start, start + _PAIRS_PER_ESTIMATE)
        likely[some] = np.count_nonzero(signatures[left[some]] == signatures[right[some]], axis=1) >= least
    return likely


def _bucket_pairs(band: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(band, kind="stable")
    _, starts, sizes = np.unique(band[order], return_index=True, return_counts=True)
    place = np.arange(len(band)) - np.repeat(starts, sizes)  # of each text in its bucket
    large = np.repeat(sizes, sizes) > MAX_BUCKET
    small_members = np.flatnonzero((place > 0) & ~large)
    large_members = np.flatnonzero((place > 0) & large)
    lefts, rights = [large_members - 1, large_members - place[large_members]], [large_members, large_members]
    for distance in range(1, MAX_BUCKET):
        small_members = small_members[place[small_members] >= distance]
        if not len(small_members):
            break
        lefts.append(small_members - distance)
        rights.append(small_members)
    return order[np.concatenate(lefts)], order[np.concatenate(rights)]


def _overlaps(batches: Iterable[Sequence[str]], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """The exact Jaccard overlap of each pair."""
    texts = _texts_of(batches, np.unique(pairs))
    left, right = ([texts[number] for number in column] for column in pairs.T.tolist())
    overlaps = [np.empty(0)]
    longest = [max(one, other, key=len) for one, other in zip(left, right, strict=True)]
    if longest:
        overlaps += [_jaccard(left[some], right[some]) for some in _chunks(longest, _CHARACTERS_PER_COMPARISON)]
    return np.concatenate(overlaps)


def _texts_of(batches: Iterable[Sequence[str]], numbers: NDArray[np.int64]) -> dict[int, str]:
    texts: dict[int, str] = {}
    start = 0
    for batch in batches:
        low, high = np.searchsorted(numbers, [start, start + len(batch)])
        texts |= {number: folded(batch[number - start]) for number in numbers[low:high].tolist()}
        start += len(batch)
    return texts


def _jaccard(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
    from scipy.sparse import csr_array

    hashes, counts = _shingles([*left, *right])
    owners = np.repeat(np.arange(len(counts)), counts)
    distinct, features = np.unique(hashes, return_inverse=True)
    sets = csr_array((np.ones(len(hashes), np.int32), (owners, features)), shape=(len(counts), len(distinct)))
    sets.sum_duplicates()
    sets.data[:] = 1
    sizes = np.diff(sets.indptr)
    shared: NDArray[np.int64] = np.asarray((sets[: len(left)] * sets[len(left) :]).sum(axis=1)).ravel()
    overlap: NDArray[np.float64] = shared / (sizes[: len(left)] + sizes[len(left) :] - shared)
    return overlap
