"""What every vector store owes its callers, asked of each adapter alike."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from domain_embed.contracts.errors import NotReadyError, StoreError
from domain_embed.contracts.ports import Collection, VectorStore
from domain_embed.contracts.records import Hit, Point, StoredContent, Where
from domain_embed.settings import IndexSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.stores.backends import BACKENDS, a_store
from domain_embed_tests.stores.samples import (
    ALL_IDS,
    AXIS_X,
    BUCKET,
    EC2_TAG,
    EMPTY,
    IAM_KEY,
    KEY,
    POINTS,
    S3_ACL,
    S3_LIST,
    TAG,
    UNSEEN,
    idf,
    info,
    point,
    sparse,
)


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    with a_store(request.param, tmp_path / "vectors") as empty:
        yield empty


@pytest.fixture(scope="module", params=BACKENDS)
def aws(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """The sample collection, built once: what is immutable can be shared."""
    with a_store(request.param, tmp_path_factory.mktemp("vectors")) as store:
        store.build(info(), [POINTS[:2], [], POINTS[2:]])
        collection = store.open("aws-1")
        yield collection
        collection.close()


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage_id for hit in hits]


def scores(hits: Sequence[Hit]) -> list[float]:
    return [hit.score for hit in hits]


# --- dense search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [True, False])
def test_dense_hits_carry_cosines_in_falling_order(aws: Collection, exact: bool) -> None:
    [hits] = aws.search_dense(AXIS_X, 10, exact=exact)
    assert ids(hits) == [S3_ACL, S3_LIST, EC2_TAG, IAM_KEY, EMPTY]
    assert scores(hits) == pytest.approx([1.0, 0.8, 0.6, 0.0, -1.0], abs=1e-6)


def test_the_length_of_a_query_does_not_matter(aws: Collection) -> None:
    [hits] = aws.search_dense(5 * AXIS_X, 2, exact=True)
    assert scores(hits) == pytest.approx([1.0, 0.8], abs=1e-6)


def test_each_row_is_a_query_of_its_own(aws: Collection) -> None:
    queries = np.array([[0, 0, 1], [0, 1, 0]] * 50, np.float32)
    found = aws.search_dense(queries, 1)
    assert [ids(hits) for hits in found] == [[IAM_KEY], [EC2_TAG]] * 50


def test_no_queries_and_no_hits_wanted(aws: Collection) -> None:
    assert aws.search_dense(np.empty((0, 3), np.float32), 3) == []
    assert aws.search_sparse([], 3) == []
    assert aws.search_dense(AXIS_X, 0) == [[]]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_ties_are_ordered_and_cut_by_passage_id(store: VectorStore, k: int, exact: bool) -> None:
    tied = [point(name, (0.6, 0.8, 0)) for name in ("d", "b", "e", "a", "c")]
    store.build(info(count=6), [[*tied, point("best", (1, 0, 0))]])
    [hits] = store.open("aws-1").search_dense(AXIS_X, k, exact=exact)
    assert ids(hits) == ["best", "a", "b", "c", "d", "e"][:k]


def test_hits_are_described_when_asked(aws: Collection) -> None:
    [[bare]] = aws.search_dense(AXIS_X, 1)
    [[full], nothing] = aws.describe([[bare], [Hit("missing", 1.0)]])
    assert nothing == []
    assert full.score == bare.score
    assert (bare.title, bare.text, bare.metadata) == ("", "", {})
    assert (full.title, full.text) == ("Title of s3/acl", "Text of s3/acl")
    assert full.metadata == {"service": "s3", "year": 2020, "price": 1.5, "public": True}


@pytest.mark.parametrize("query", [[[1, 0]], [1, 0, 0], [[np.nan, 0, 0]]])
def test_a_query_that_cannot_be_compared_is_refused(aws: Collection, query: list[Any]) -> None:
    with pytest.raises(StoreError, match="'aws-1' takes finite query vectors"):
        aws.search_dense(np.array(query, np.float32), 3)


def test_approximate_search_finds_what_exact_search_finds(store: VectorStore) -> None:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(400, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    store.build(info(count=400), [[point(f"p{n:03}", row) for n, row in enumerate(rows)]])
    collection = store.open("aws-1")
    queries = rows[:20].astype(np.float32)
    exact = [ids(hits) for hits in collection.search_dense(queries, 10, exact=True)]
    true = [[f"p{n:03}" for n in np.argsort(-(rows @ row))[:10]] for row in rows[:20]]
    approximate = [ids(hits) for hits in collection.search_dense(queries, 10)]
    assert exact == true
    assert sum(len(set(a) & set(b)) for a, b in zip(approximate, true, strict=True)) >= 190


@pytest.mark.parametrize("quantization", ["int8", "binary"])
def test_quantized_vectors_are_found_and_scored_by_the_vectors_themselves(
    store: VectorStore, quantization: str
) -> None:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(300, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kept = IndexSettings(quantization=quantization, oversampling=8, on_disk=True, hnsw_m=32).model_dump()  # type: ignore[arg-type]
    told = replace(info(count=300), dimensions=64, index=kept)
    store.build(told, [[point(f"p{n:03}", row) for n, row in enumerate(rows)]])
    collection = store.open("aws-1")
    assert collection.info.index == kept
    for exact in (True, False):
        found = collection.search_dense(rows[:20], 5, exact=exact)
        assert [hits[0].passage_id for hits in found] == [f"p{n:03}" for n in range(20)]
        cosines = {f"p{n:03}": cosine for n, cosine in enumerate(rows @ rows[0])}
        assert scores(found[0]) == pytest.approx([cosines[one] for one in ids(found[0])], abs=1e-5)
        if exact:
            assert scores(found[0]) == pytest.approx(sorted(cosines.values(), reverse=True)[:5], abs=1e-5)


# --- sparse search --------------------------------------------------------------------------------------


def test_sparse_scores_are_dot_products_weighted_by_idf(aws: Collection) -> None:
    # Four points have terms at all; the fifth is no document for IDF.
    common, rare = idf(4, 2), idf(4, 1)
    [bucket, key] = aws.search_sparse([sparse({BUCKET: 1.0}), sparse({KEY: 3.0})], 10)
    assert ids(bucket) == [S3_LIST, S3_ACL]
    assert scores(bucket) == pytest.approx([2.0 * common, 1.0 * common], abs=1e-4)
    assert ids(key) == [IAM_KEY]
    assert scores(key) == pytest.approx([3.0 * rare], abs=1e-4)
    assert (common, rare) == pytest.approx((0.693147, 1.203973), abs=1e-6)


def test_a_rare_term_outweighs_a_common_one(aws: Collection) -> None:
    # s3/acl: 1.0 * ln 2 = 0.69 and iam/key: 0.6 * 1.204 = 0.72, though the bare products are 1.0 and 0.6.
    [hits] = aws.search_sparse([sparse({BUCKET: 1.0, KEY: 0.6})], 10)
    assert ids(hits) == [S3_LIST, IAM_KEY, S3_ACL]
    assert scores(hits) == pytest.approx([2 * idf(4, 2), 0.6 * idf(4, 1), idf(4, 2)], abs=1e-4)


def test_terms_of_one_passage_add_up(aws: Collection) -> None:
    [hits] = aws.search_sparse([sparse({BUCKET: 1.0, TAG: 2.0})], 1)
    assert ids(hits) == [S3_ACL]
    assert scores(hits) == pytest.approx([1.0 * idf(4, 2) + 2.0 * 0.5 * idf(4, 2)], abs=1e-4)


def test_a_query_without_known_terms_gets_no_hits(aws: Collection) -> None:
    empty, unknown, known = aws.search_sparse([sparse({}), sparse({UNSEEN: 1.0}), sparse({KEY: 1.0})], 5)
    assert (empty, unknown, ids(known)) == ([], [], [IAM_KEY])


def test_sparse_search_takes_filters_and_payload(aws: Collection) -> None:
    [hits] = aws.describe(aws.search_sparse([sparse({BUCKET: 1.0})], 5, where={"public": True}))
    assert [(hit.passage_id, hit.title) for hit in hits] == [(S3_ACL, "Title of s3/acl")]
    assert scores(hits) == pytest.approx([idf(4, 2)], abs=1e-4)  # IDF is the collection's, not the filter's


# --- filters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, ALL_IDS),
        ({"service": "s3"}, [S3_ACL, S3_LIST]),
        ({"service": "nobody"}, []),
        ({"year": 2021}, [S3_LIST, EC2_TAG]),
        ({"year": 2021.0}, [S3_LIST, EC2_TAG]),
        ({"year": 10**30}, []),
        ({"public": True}, [S3_ACL, EC2_TAG]),
        ({"public": False}, [S3_LIST]),
        ({"year": True}, []),
        ({"price": 2.5}, [EC2_TAG]),
        ({"price": 2}, [S3_LIST]),
        ({"service": ["iam", "ec2", "nobody"]}, [EC2_TAG, IAM_KEY]),
        ({"price": (1.5, 2.5)}, [S3_ACL, EC2_TAG]),
        ({"public": [True, False]}, [S3_ACL, S3_LIST, EC2_TAG]),
        ({"year": [2020, 1]}, [S3_ACL, IAM_KEY]),
        ({"service": []}, []),
        ({"service": "s3", "year": 2021}, [S3_LIST]),
        ({"service": "s3", "year": []}, []),
        ({"no_such_key": "x"}, []),
        ({"no such key, ключ": "x"}, []),
    ],
    ids=str,
)
@pytest.mark.parametrize("exact", [True, False])
def test_filters(aws: Collection, where: Where, expected: list[str], exact: bool) -> None:
    [hits] = aws.search_dense(AXIS_X, 10, where=where, exact=exact)
    assert ids(hits) == expected


def test_filters_reach_nested_and_oddly_named_metadata(store: VectorStore) -> None:
    odd = {"owner": {"team": "storage"}, "größe in m²": 7, "tags": ["a", "b"], "nothing": None}
    store.build(info(count=2), [[point("odd", (1, 0, 0), **odd), point("plain", (0, 1, 0))]])
    collection = store.open("aws-1")

    def found(where: Where) -> list[str]:
        return ids(collection.search_dense(AXIS_X, 5, where=where)[0])

    assert found({"owner.team": "storage"}) == ["odd"]
    assert found({"größe in m²": 7}) == ["odd"]
    assert found({"tags": "b"}) == ["odd"]
    assert found({"owner.team": "network"}) == []
    with pytest.raises(StoreError, match="cannot be filtered on"):
        found({'quo"te': 1})


# --- reading back ---------------------------------------------------------------------------------------


def test_fetch_keeps_the_order_asked_for_and_skips_missing_ids(aws: Collection) -> None:
    points = aws.fetch([EC2_TAG, "missing", S3_ACL, EC2_TAG])
    assert [p.passage_id for p in points] == [EC2_TAG, S3_ACL, EC2_TAG]
    assert aws.fetch([]) == []


def test_fetched_points_are_the_stored_ones(aws: Collection) -> None:
    for stored, fetched in zip(POINTS, aws.fetch(ALL_IDS), strict=True):
        same = ("passage_id", "doc_id", "title", "text", "metadata", "content_hash")
        assert [getattr(fetched, name) for name in same] == [getattr(stored, name) for name in same]
        assert (fetched.dense.dtype, fetched.sparse.indices.dtype) == (np.float32, np.uint32)
        np.testing.assert_allclose(fetched.dense, stored.dense, atol=1e-6)
        np.testing.assert_array_equal(fetched.sparse.indices, stored.sparse.indices)
        np.testing.assert_array_equal(fetched.sparse.values, stored.sparse.values)


def test_unicode_nested_metadata_and_long_text_survive(store: VectorStore) -> None:
    rich = replace(
        point("ключ/🗝", (0, 1, 0), nested={"list": [1, {"deep": "ü"}], "none": None}),
        title="Grüße, 世界",
        text="ünïcödé 🪣 " * 20_000,
    )
    store.build(info(count=1), [[rich]])
    collection = store.open("aws-1")
    [fetched] = collection.fetch([rich.passage_id])
    [[hit]] = collection.describe(collection.search_dense(AXIS_X, 1))
    assert (fetched.title, fetched.text, fetched.metadata) == (rich.title, rich.text, rich.metadata)
    assert (hit.passage_id, hit.text, hit.metadata) == (rich.passage_id, rich.text, rich.metadata)


def test_count_and_contents_cover_every_point(store: VectorStore) -> None:
    many = [point(f"p{n}", (0, 0, 1)) for n in range(2100)]
    store.build(info(count=2100), (many[start : start + 500] for start in range(0, 2100, 500)))
    collection = store.open("aws-1")
    assert collection.count() == 2100
    told = [StoredContent(p.passage_id, p.doc_id, p.content_hash, p.metadata) for p in many]
    assert sorted(collection.contents()) == sorted(told)
    assert len(collection.fetch([p.passage_id for p in many])) == 2100


def test_an_empty_collection_can_be_read(store: VectorStore) -> None:
    store.build(info(count=0), [])
    collection = store.open("aws-1")
    assert (collection.count(), list(collection.contents())) == (0, [])
    assert collection.search_dense(AXIS_X, 3) == [[]]
    assert collection.search_sparse([sparse({BUCKET: 1.0})], 3) == [[]]


# --- building -------------------------------------------------------------------------------------------


def test_info_is_kept_as_given_and_listed_oldest_first(store: VectorStore) -> None:
    later = info("a-later", built_at="2025-03-01T00:00:00+00:00")
    store.build(later, [POINTS])
    store.build(info("z-earlier"), [POINTS])
    assert store.collections() == [info("z-earlier"), later]
    assert store.open("a-later").info == later


def test_nothing_is_there_at_first(store: VectorStore) -> None:
    assert store.collections() == []
    assert store.alias("live") is None
    store.drop("never-built")
    with pytest.raises(NotReadyError, match="aws-1"):
        store.open("aws-1")


def test_a_name_is_built_once(store: VectorStore) -> None:
    store.build(info(), [POINTS])
    with pytest.raises(StoreError, match=r"aws-1.* exists"):
        store.build(info(count=1), [POINTS[:1]])
    assert store.open("aws-1").count() == len(POINTS)


def test_a_collection_is_invisible_until_complete(store: VectorStore) -> None:
    seen = []

    def batches() -> Iterator[list[Point]]:
        yield POINTS[:3]
        seen.append(store.collections())
        with pytest.raises(NotReadyError):
            store.set_alias("live", "aws-1")
        yield POINTS[3:]

    store.build(info(), batches())
    assert seen == [[]]
    assert store.collections() == [info()]


def broken_off() -> Iterator[list[Point]]:
    yield POINTS[:3]
    raise RuntimeError("the table ended early")


def with_last(**changes: Any) -> Callable[[], list[list[Point]]]:
    return lambda: [POINTS[:-1], [replace(POINTS[-1], **changes)]]


def dense(*values: float) -> Callable[[], list[list[Point]]]:
    return with_last(dense=np.array(values, np.float32))


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        (broken_off, RuntimeError, "the table ended early"),
        (lambda: [POINTS[:4]], StoreError, "4 distinct points were given, 5 were announced"),
        (lambda: [POINTS, POINTS[:1]], StoreError, "6 distinct points were given, 5 were announced"),
        (with_last(passage_id=S3_ACL), StoreError, "4 distinct points were stored, 5 were announced"),
        (dense(1, 0), StoreError, "not of dimension 3: empty"),
        (dense(np.nan, 1, 0), StoreError, "not finite: empty"),
        (dense(np.inf, 1, 0), StoreError, "not finite: empty"),
        (dense(0.99, 0, 0), StoreError, "not of unit length: empty"),
        (dense(0, 0, 0), StoreError, "not of unit length: empty"),
        (with_last(sparse=sparse({TAG: np.nan})), StoreError, "malformed as a sparse vector: empty"),
    ],
)
def test_a_failed_build_leaves_nothing_and_can_be_repeated(
    store: VectorStore, batches: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        store.build(info(), batches())
    assert store.collections() == []
    with pytest.raises(NotReadyError):
        store.open("aws-1")
    store.build(info(), [POINTS])
    assert ids(store.open("aws-1").search_dense(AXIS_X, 10, exact=True)[0]) == ALL_IDS


def test_a_rounded_unit_vector_is_accepted_and_still_scored_by_cosine(store: VectorStore) -> None:
    store.build(info(count=1), [[point("short", (0.9995, 0, 0))]])
    [[hit]] = store.open("aws-1").search_dense(AXIS_X, 1, exact=True)
    assert hit.score == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", ["", "../escape", "a/b", ".hidden", "a\nb"])
def test_a_name_that_no_store_could_keep_is_refused(store: VectorStore, name: str) -> None:
    for call in (lambda: store.build(info(name), [POINTS]), lambda: store.open(name), lambda: store.drop(name)):
        with pytest.raises(StoreError, match="cannot name"):
            call()


# --- aliases and dropping -------------------------------------------------------------------------------


def test_an_alias_is_set_moved_and_read(store: VectorStore) -> None:
    for name in ("aws-1", "aws-2"):
        store.build(info(name), [POINTS])
    store.set_alias("live", "aws-1")
    store.set_alias("shadow", "aws-1")
    store.set_alias("live", "aws-2")
    assert (store.alias("live"), store.alias("shadow"), store.alias("other")) == ("aws-2", "aws-1", None)


def test_an_alias_never_names_what_does_not_exist(store: VectorStore) -> None:
    store.build(info(), [POINTS])
    store.set_alias("live", "aws-1")
    with pytest.raises(NotReadyError, match="aws-2"):
        store.set_alias("live", "aws-2")
    assert store.alias("live") == "aws-1"


def test_an_alias_is_not_a_collection(store: VectorStore) -> None:
    store.build(info(), [POINTS])
    store.set_alias("live", "aws-1")
    assert store.collections() == [info()]
    with pytest.raises(NotReadyError):
        store.open("live")


def test_a_served_collection_cannot_be_dropped(store: VectorStore) -> None:
    for name in ("aws-1", "aws-2"):
        store.build(info(name), [POINTS])
    store.set_alias("live", "aws-1")
    with pytest.raises(StoreError, match=r"aws-1.* is served as live"):
        store.drop("aws-1")
    store.set_alias("live", "aws-2")
    store.drop("aws-1")
    assert store.collections() == [info("aws-2")]


def test_a_dropped_name_can_be_built_again(store: VectorStore) -> None:
    store.build(info(), [POINTS])
    store.drop("aws-1")
    store.build(info(count=2), [POINTS[:2]])
    assert store.open("aws-1").count() == 2


# --- amending -------------------------------------------------------------------------------------------

LEGAL = {"service": "legal", "year": 2020, "price": 1.5, "public": True}


def amended(store: VectorStore, *, purge: bool = False, **changes: Any) -> Collection:
    """A reader that was open before the sample collection was amended."""
    store.build(info(), [POINTS])
    store.set_alias("live", "aws-1")
    reader = store.open("aws-1")
    assert reader.count() == len(POINTS)
    store.amend("aws-1", **{"remove": [], "metadata": {}, **changes}, purge=purge)
    return reader


@pytest.mark.parametrize("purge", [False, True])
def test_an_open_reader_no_longer_finds_what_was_removed(store: VectorStore, purge: bool) -> None:
    reader = amended(store, remove=[S3_LIST, "never-there"], purge=purge)
    left = [S3_ACL, EC2_TAG, IAM_KEY, EMPTY]
    for collection in (reader, store.open("aws-1"), store.open(store.alias("live") or "")):
        for exact in (True, False):
            assert ids(collection.search_dense(AXIS_X, 10, exact=exact)[0]) == left
        assert ids(collection.search_sparse([sparse({BUCKET: 1.0})], 10)[0]) == [S3_ACL]
        assert ids(collection.search_dense(AXIS_X, 10, where={"service": "s3"})[0]) == [S3_ACL]
        assert collection.describe([[Hit(S3_LIST, 1.0)]]) == [[]]
        assert collection.fetch([S3_LIST]) == []
        assert sorted(content.passage_id for content in collection.contents()) == sorted(left)
        assert sorted(one for page, _ in collection.dense_vectors() for one in page) == sorted(left)
        assert collection.count() == 4


@pytest.mark.parametrize("purge", [False, True])
def test_an_open_reader_filters_by_the_new_metadata(store: VectorStore, purge: bool) -> None:
    reader = amended(store, metadata={S3_ACL: LEGAL, "never-there": LEGAL}, purge=purge)
    for collection in (reader, store.open("aws-1")):
        assert ids(collection.search_dense(AXIS_X, 10, where={"service": "s3"})[0]) == [S3_LIST]
        assert ids(collection.search_dense(AXIS_X, 10, where={"service": "legal"})[0]) == [S3_ACL]
        assert ids(collection.search_sparse([sparse({BUCKET: 1.0})], 10, where={"service": "legal"})[0]) == [S3_ACL]
        assert collection.describe([[Hit(S3_ACL, 1.0)]])[0][0].metadata == LEGAL
        told = {content.passage_id: content.metadata for content in collection.contents()}
        assert told == {p.passage_id: p.metadata for p in POINTS} | {S3_ACL: LEGAL}
    [before], [after] = [p for p in POINTS if p.passage_id == S3_ACL], reader.fetch([S3_ACL])
    assert (after.text, after.content_hash, after.doc_id) == (before.text, before.content_hash, before.doc_id)
    np.testing.assert_allclose(after.dense, before.dense, atol=1e-6)
    np.testing.assert_array_equal(after.sparse.values, before.sparse.values)


def test_metadata_is_replaced_as_a_whole(store: VectorStore) -> None:
    reader = amended(store, metadata={S3_ACL: {}, S3_LIST: {"deep": {"list": [1, "x", None]}}})
    assert [p.metadata for p in reader.fetch([S3_ACL, S3_LIST])] == [{}, {"deep": {"list": [1, "x", None]}}]


def test_what_is_named_twice_is_removed(store: VectorStore) -> None:
    assert amended(store, remove=[S3_ACL], metadata={S3_ACL: LEGAL}).fetch([S3_ACL]) == []


def test_a_collection_says_that_it_was_amended_and_what_can_be_filtered_on_now(store: VectorStore) -> None:
    changed = {p.passage_id: {"service": "s3", "year": "2020", "groups": ["hr"]} for p in POINTS}
    amended(store, metadata=changed)
    [told] = store.collections()
    assert told == store.open("aws-1").info
    assert (told.count, told.passages_version) == (len(POINTS), "v1")
    assert told.metadata_types == {"service": "str", "year": "str", "groups": "str"}
    assert info().amended == ""
    assert ids(store.open("aws-1").search_dense(AXIS_X, 10, where={"groups": "hr", "year": "2020"})[0]) == ALL_IDS
    store.amend("aws-1", remove=[], metadata={})
    assert store.collections()[0].amended > told.amended > "2025"


def test_amending_twice_changes_nothing_more(store: VectorStore) -> None:
    changes: dict[str, Any] = {"remove": [S3_LIST], "metadata": {S3_ACL: LEGAL}}
    reader = amended(store, **changes)
    once = sorted(map(repr, reader.contents()))
    store.amend("aws-1", **changes)
    assert sorted(map(repr, reader.contents())) == once


def test_everything_can_be_removed(store: VectorStore) -> None:
    reader = amended(store, remove=ALL_IDS)
    assert (reader.count(), reader.search_dense(AXIS_X, 5), list(reader.contents())) == (0, [[]], [])


def test_only_what_is_complete_can_be_amended(store: VectorStore) -> None:
    with pytest.raises(NotReadyError, match="aws-1"):
        store.amend("aws-1", remove=[S3_ACL], metadata={})


def test_other_collections_stay_as_they_are(store: VectorStore) -> None:
    store.build(info("aws-2"), [POINTS])
    amended(store, remove=[S3_LIST])
    assert ids(store.open("aws-2").search_dense(AXIS_X, 10)[0]) == ALL_IDS
    assert {told.name: bool(told.amended) for told in store.collections()} == {"aws-1": True, "aws-2": False}


def test_a_dropped_and_rebuilt_collection_is_whole_again(store: VectorStore) -> None:
    amended(store, remove=[S3_LIST])
    store.build(info("aws-2"), [POINTS])
    store.set_alias("live", "aws-2")
    store.drop("aws-1")
    store.build(info(), [POINTS])
    assert ids(store.open("aws-1").search_dense(AXIS_X, 10)[0]) == ALL_IDS
    assert [told.amended for told in store.collections()] == ["", ""]


def test_a_cleared_store_has_nothing_left_and_can_be_used_again(store: VectorStore) -> None:
    for name in ("aws-1", "aws-2"):
        store.build(info(name), [POINTS])
    store.set_alias("live", "aws-2")
    store.clear()
    assert store.collections() == []
    assert store.alias("live") is None
    assert store.clear() == []
    store.build(info("aws-1"), [POINTS])
    assert store.open("aws-1").count() == len(POINTS)


def test_clearing_leaves_what_others_keep_on_the_server(tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    mine, other = QdrantStore(client, "a--"), QdrantStore(client, "a--b--")
    for each in (mine, other):
        each.build(info("aws-1"), [POINTS])
        each.set_alias("live", "aws-1")
    mine.clear()
    assert mine.collections() == []
    assert other.alias("live") == "aws-1"
    assert other.open("aws-1").count() == len(POINTS)
