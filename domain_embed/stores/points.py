"""What every Qdrant-shaped adapter stores alike: names, ids, payloads, and the checks of what comes in."""

import json
import math
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

import numpy as np

from domain_embed.contracts.errors import SHOWN_CULPRITS, StoreError
from domain_embed.contracts.filters import UNNAMEABLE
from domain_embed.contracts.records import CollectionInfo, Point, SparseVector

DENSE = "dense"
SPARSE = "bm25"
PASSAGE_ID = "passage_id"
HIT_FIELDS = [PASSAGE_ID, "doc_id", "title", "text", "metadata"]
NORM_TOLERANCE = 1e-3
# Changing it would give every stored passage another id: the deltas of old collections would find nothing.
_ID_NAMESPACE = uuid.UUID("5f3d6c1e-6d0b-5c55-9f0a-8a4a2c1f7b10")
_NAME = re.compile(r'[^<>:"/\\|?*\x00-\x1f.][^<>:"/\\|?*\x00-\x1f]{0,199}')
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def check_name(name: str) -> None:
    """Raises StoreError unless `name` can name a collection or an alias on every store."""
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name[:80]!r} cannot name a collection or an alias",
            'avoid < > : " / \\ | ? *, a first ".", and more than 200 characters',
        )


def point_id(passage_id: str) -> str:
    """The id under which a passage is stored: always the same UUID for the same passage."""
    return str(uuid.uuid5(_ID_NAMESPACE, passage_id))


def payload_of(point: Point) -> dict[str, Any]:
    """What is stored beside the vectors of a point."""
    return {
        "passage_id": point.passage_id,
        "doc_id": point.doc_id,
        "title": point.title,
        "text": point.text,
        "metadata": dict(point.metadata),
        "content_hash": point.content_hash,
    }


def point_from(payload: Mapping[str, Any], dense: Sequence[float], sparse: SparseVector | None) -> Point:
    """The inverse of `payload_of`; a point stored without sparse vector had no terms."""
    if sparse is None:
        sparse = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))
    return Point(**payload, dense=np.asarray(dense, np.float32), sparse=sparse)


def sparse_from(indices: Sequence[int], values: Sequence[float]) -> SparseVector:
    """A sparse vector with strictly increasing indices, whatever the order the store gives them in."""
    order = np.argsort(indices)
    return SparseVector(np.asarray(indices, np.uint32)[order], np.asarray(values, np.float32)[order])


def info_to_json(info: CollectionInfo) -> dict[str, Any]:
    """Plain JSON values; `info_from_json` gives an equal info back."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(info).items()}


def info_from_json(data: Any, place: str) -> CollectionInfo:
    """Raises StoreError naming `place` when the data does not describe a collection."""
    try:
        return CollectionInfo(**data)
    except TypeError as error:
        raise StoreError(
            f"{place} does not describe a collection: {error}", "drop the collection and rebuild"
        ) from error


def checked(info: CollectionInfo, batches: Iterable[Sequence[Point]]) -> Iterator[Sequence[Point]]:
    """The batches as they come, each once it is known to be good.

    Raises StoreError when a vector has another dimension than `info.dimensions`, is not finite or not of
    unit length, when a sparse vector is malformed, or when the number of points is not `info.count`.
    """
    n_points = 0
    for batch in batches:
        n_points += len(batch)
        if batch:
            _check_vectors(batch, info)
            yield batch
    check_count(n_points, info, "were given")


def check_count(n_points: int, info: CollectionInfo, verb: str) -> None:
    """Raises StoreError unless the number of points is the announced one."""
    if n_points != info.count:
        raise StoreError(
            f"collection {info.name!r}: {n_points} distinct points {verb}, {info.count} were announced",
            "build it from a passage table that does not change meanwhile and whose passage ids are unique",
        )


def _check_vectors(batch: Sequence[Point], info: CollectionInfo) -> None:
    _refuse([p for p in batch if p.dense.shape != (info.dimensions,)], f"not of dimension {info.dimensions}", info)
    norms = np.linalg.norm(np.stack([p.dense for p in batch]).astype(np.float64), axis=1).tolist()
    _refuse([p for p, norm in zip(batch, norms, strict=True) if not math.isfinite(norm)], "not finite", info)
    scaled = [p for p, norm in zip(batch, norms, strict=True) if abs(norm - 1) > NORM_TOLERANCE]
    _refuse(scaled, "not of unit length", info)
    _refuse([p for p in batch if not _is_well_formed(p.sparse)], "malformed as a sparse vector", info)


def _is_well_formed(sparse: SparseVector) -> bool:
    increasing = bool(np.all(sparse.indices[1:] > sparse.indices[:-1]))
    return sparse.indices.shape == sparse.values.shape and increasing and bool(np.isfinite(sparse.values).all())


def _refuse(culprits: Sequence[Point], problem: str, info: CollectionInfo) -> None:
    if culprits:
        shown = ", ".join(point.passage_id for point in culprits[:SHOWN_CULPRITS])
        more = f" and {len(culprits) - SHOWN_CULPRITS} more" if len(culprits) > SHOWN_CULPRITS else ""
        raise StoreError(
            f"collection {info.name!r} refuses vectors that are {problem}: {shown}{more}",
            "encode the passages again with the model the collection is for",
        )


def by_metadata(
    metadata: Mapping[str, Mapping[str, Any]], but: AbstractSet[str]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each distinct metadata with the passages that get it, but those in `but`."""
    groups: dict[str, list[str]] = {}
    for passage_id, one in metadata.items():
        if passage_id not in but:
            groups.setdefault(json.dumps(dict(one), sort_keys=True), []).append(passage_id)
    yield from ((json.loads(encoded), passage_ids) for encoded, passage_ids in groups.items())


def amended_now() -> str:
    """When a collection was amended; no two amendments have the same."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def metadata_path(key: str) -> str:
    """The payload path of a metadata key; a dot in the key reaches into a nested object."""
    if set(UNNAMEABLE) & set(key):
        raise StoreError(f"metadata key {key!r} cannot be filtered on", f"rename it without {' or '.join(UNNAMEABLE)}")
    parts = (part if _PLAIN_KEY.fullmatch(part) else f'"{part}"' for part in key.split("."))
    return ".".join(["metadata", *parts])
