"""Labels that never became a judgment: missing documents, and answers cut in two."""

from domain_embed.contracts.ports import Collection
from domain_embed.diagnosis.unanswered import LabelLosses, label_losses
from domain_embed.settings import AlignmentSettings
from domain_embed_tests.diagnosis.faults import PARTS, Part, label_table, passage_table
from domain_embed_tests.encoding.fakes import FakeEncoder
from domain_embed_tests.judgments.quality_material import collection_of

FIRST = "When the primary is gone, fence it, run pg_ctl promote on the standby"
SECOND = "and point pgbouncer at the new leader. Tell the duty lead about it."
WHOLE = "fence it, run pg_ctl promote on the standby and point pgbouncer at the new leader"
CORPUS = [
    *(part for part in PARTS if part.passage_id != "pg-failover"),
    Part("failover#1", "failover", "", FIRST, 0),
    Part("failover#2", "failover", "", SECOND, 70),
]


def losses(*rows: tuple[str, str, str | None, str | None], judged: set[str], split: str | None = None) -> LabelLosses:
    table = passage_table(CORPUS)
    collection: Collection = collection_of(table, FakeEncoder())
    return label_losses(label_table(rows, split), judged, table, collection, AlignmentSettings())


def told(found: LabelLosses) -> dict[str, tuple[str, str]]:
    return {one.query_id: (one.cause, one.detail) for one in found.unanswered}


def test_missing_documents_are_named() -> None:
    found = losses(
        ("q1", "swap my shift", "page-duty", None),
        ("q2", "who is on holiday", "holidays", None),
        ("q3", "where is the canteen", "canteen", None),
        judged={"q1"},
    )
    assert found.asked == 3
    assert told(found) == {
        "q2": ("missing", "the corpus holds no holidays"), "q3": ("missing", "the corpus holds no canteen")
    }  # fmt: skip


def test_an_answer_in_two_passages_is_split() -> None:
    by_document = losses(("q", "how do I fail over", "failover", WHOLE), judged=set())
    by_text_alone = losses(("q", "how do I fail over", None, WHOLE), judged=set())
    expected = {"q": ("split", "its answer stands in failover#1 and failover#2 together, in neither alone")}
    assert told(by_document) == told(by_text_alone) == expected


def test_an_answer_nowhere_is_missing() -> None:
    found = losses(
        ("q", "where is the canteen", None, "the canteen is on the second floor near the lift"), judged=set()
    )
    assert told(found) == {"q": ("missing", "its answer stands in no passage")}


def test_a_label_that_waits_for_a_person_is_neither() -> None:
    """The document is there and holds the answer: which passage is meant is another question."""
    found = losses(
        ("q", "who is told", "failover", "Tell the duty lead about it"), ("r", "x", "failover", None), judged=set()
    )
    assert found.unanswered == ()


def test_given_validation_labels_count_alone() -> None:
    table = passage_table(CORPUS)
    labels = label_table([("q1", "a", "gone", None), ("q2", "b", "page-duty", None)], "validation")
    train = label_table([("q3", "c", "gone", None)], "train")
    import pyarrow as pa

    found = label_losses(
        pa.concat_tables([labels, train]), {"q2"}, table, collection_of(table, FakeEncoder()), AlignmentSettings()
    )
    assert (found.asked, set(told(found))) == (2, {"q1"})


def test_negative_and_made_up_labels_ask_nothing() -> None:
    table = passage_table(CORPUS)
    collection = collection_of(table, FakeEncoder())
    rows = [("q", "a", "gone", None)]
    for changes in ({"grade": 0}, {"train_only": True}):
        found = label_losses(label_table(rows, None, **changes), set(), table, collection, AlignmentSettings())
        assert (found.asked, found.unanswered) == (0, ())
