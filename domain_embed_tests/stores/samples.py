"""One tiny hand-built collection, small enough to work out every score on paper."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from domain_embed.contracts.records import CollectionInfo, Point, SparseVector

DIMENSIONS = 3
S3_ACL, S3_LIST, EC2_TAG, IAM_KEY, EMPTY = "s3/acl", "s3/list", "ec2/tag", "iam/key", "empty"

# Term numbers of the sparse vectors.
BUCKET, TAG, KEY, UNSEEN = 11, 7, 4_000_000_000, 999


def sparse(weights: Mapping[int, float]) -> SparseVector:
    terms = sorted(weights)
    return SparseVector(np.array(terms, np.uint32), np.array([weights[term] for term in terms], np.float32))


def point(passage_id: str, dense: Sequence[float], terms: Mapping[int, float] | None = None, **metadata: Any) -> Point:
    return Point(
        passage_id=passage_id,
        doc_id=passage_id.partition("/")[0],
        title=f"Title of {passage_id}",
        text=f"Text of {passage_id}",
        metadata=metadata,
        content_hash=f"hash-{passage_id}",
        dense=np.array(dense, np.float32),
        sparse=sparse(terms or {}),
    )


# Cosine to AXIS_X: 1, 0.8, 0.6, 0, -1. Four points have terms: BUCKET is in two of them, TAG and KEY in one each.
POINTS = [
    point(S3_ACL, (1, 0, 0), {BUCKET: 1.0, TAG: 0.5}, service="s3", year=2020, price=1.5, public=True),
    point(S3_LIST, (0.8, 0.6, 0), {BUCKET: 2.0}, service="s3", year=2021, price=2.0, public=False),
    point(EC2_TAG, (0.6, 0.8, 0), {TAG: 0.0, UNSEEN - 1: 1.0}, service="ec2", year=2021, price=2.5, public=True),
    point(IAM_KEY, (0, 0, 1), {KEY: 1.0}, service="iam", year=1),
    point(EMPTY, (-1, 0, 0)),
]
ALL_IDS = [p.passage_id for p in POINTS]
AXIS_X = np.array([[1, 0, 0]], np.float32)
METADATA_TYPES = {"service": "str", "year": "int", "price": "float", "public": "bool"}


def idf(n_points: int, n_with_term: int) -> float:
    return math.log((n_points - n_with_term + 0.5) / (n_with_term + 0.5) + 1)


def info(name: str = "aws-1", count: int = len(POINTS), built_at: str = "2025-01-01T00:00:00+00:00") -> CollectionInfo:
    return CollectionInfo(
        name=name,
        fingerprint="f" * 16,
        model="models/demo",
        dimensions=DIMENSIONS,
        passages_version="v1",
        count=count,
        sparse_language="english",
        metadata_types=METADATA_TYPES,
        built_at=built_at,
    )
