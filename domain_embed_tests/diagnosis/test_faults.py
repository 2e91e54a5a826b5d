"""A fault planted in a sound domain is found and named, by the real base model."""

import random

import pytest

from domain_embed.diagnosis.causes import explain
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed_tests.diagnosis.faults import PARTS, QRELS, TEXTS, Part, causes, examine
from domain_embed_tests.scenario import CORPUS

PREFACE = (
    "This entry belongs to the handbook of the operations group. It is reviewed every spring by two colleagues, "
    "printed for the binder in the hall, and kept for ten years. Changes are proposed by letter, discussed over lunch, "
    "and signed by the head of the group. Earlier editions stand on the lower shelf, next to the plants and the coffee "
    "machine that nobody repairs. "
)
"""More than the 64 tokens the model reads here."""


@pytest.fixture(scope="module")
def sound(minilm: TorchEncoder) -> set[str]:
    """The queries that fail in the sound domain."""
    return set(examine(minilm))


def test_sound_domain_hardly_fails(sound: set[str]) -> None:
    assert len(sound) <= 3


def test_truncated_positives_are_cut_off(minilm: TorchEncoder, sound: set[str]) -> None:
    longer = {part.passage_id for part in PARTS[::5]}
    parts = [
        part._replace(title="Handbook", text=PREFACE + part.text) if part.passage_id in longer else part
        for part in PARTS
    ]  # fmt: skip
    hit = {key for key, grades in QRELS.items() if set(grades) <= longer} - sound
    found = {key: cause for key, cause in causes(examine(minilm, parts)).items() if key in hit}
    assert len(found) >= 8
    assert sum(cause == "cut_off" for cause in found.values()) > 0.6 * len(found)


def test_answers_split_in_two_are_split(minilm: TorchEncoder, sound: set[str]) -> None:
    parts, qrels = [], {key: {f"{one}#2": grade for one, grade in grades.items()} for key, grades in QRELS.items()}
    for entry in PARTS:
        text = f"{entry.title}. {entry.text}"
        cut = text.index(" ", len(text) // 2)
        parts.append(Part(f"{entry.passage_id}#1", entry.doc_id, "", text[:cut], 0))
        parts.append(Part(f"{entry.passage_id}#2", entry.doc_id, "", text[cut + 1 :], cut + 1))
    found = causes(examine(minilm, parts, qrels=qrels))
    new = {key: cause for key, cause in found.items() if key not in sound}
    assert len(new) >= 10
    assert sum(cause == "split" for cause in new.values()) > 0.75 * len(new)


def test_tight_filter_is_the_cause_even_where_the_model_ranks(minilm: TorchEncoder, sound: set[str]) -> None:
    team_of = {one.passage_id: one.team for one in CORPUS}
    answered = {key: team_of[next(iter(grades))] for key, grades in QRELS.items() if len(grades) == 1}
    filters = {key: {"team": team, "year": [1999, 2000]} for key, team in sorted(answered.items())[:6]}
    filters |= {key: {"team": [team, "none"]} for key, team in sorted(answered.items())[6:12]}
    found = causes(examine(minilm, filters=filters))
    assert {key for key, cause in found.items() if cause == "filtered"} == set(sorted(answered)[:6])
    assert set(found) - set(sorted(answered)[:6]) <= sound


def test_one_wrong_label_in_ten_is_suspect(minilm: TorchEncoder, sound: set[str]) -> None:
    generator = random.Random(1)
    wrong = generator.sample(sorted(set(QRELS) - sound), 6)
    qrels = {key: dict(grades) for key, grades in QRELS.items()}
    for key in wrong:
        topic = next(iter(QRELS[key])).split("-")[0]
        qrels[key] = {generator.choice([part.passage_id for part in PARTS if not part.passage_id.startswith(topic)]): 1}
    symptoms = examine(minilm, qrels=qrels)
    found = {key: cause for key, cause in causes(symptoms).items() if key not in sound}
    assert len(found) >= 4
    assert set(found) <= set(wrong)
    assert sum(cause == "suspect_label" for cause in found.values()) >= len(found) - 1
    assert "both agree on" in explain(next(symptoms[key] for key, cause in found.items() if cause == "suspect_label"))


def test_unjudged_copy_of_the_answer_is_suspect(minilm: TorchEncoder, sound: set[str]) -> None:
    """Ten reprints stand before the one that is judged, which a word nobody asked for makes a little worse."""
    entry = next(part for part in PARTS if part.passage_id == "cert-clock")
    copies = [entry._replace(passage_id=f"reprint-{number}", doc_id=f"d{number}") for number in range(9)]
    judged = entry._replace(passage_id="judged", doc_id="j", text=f"{entry.text} Lunch.")
    symptoms = examine(minilm, [*PARTS, *copies, judged], {"q": TEXTS["q34"]}, {"q": {"judged": 1}})
    assert causes(symptoms) == {"q": "suspect_label"}
    assert "nearly equal to the answer, and is not judged" in explain(symptoms["q"])


def test_positive_that_is_gone_is_missing(minilm: TorchEncoder, sound: set[str]) -> None:
    gone = {"dns-record", "canary"}
    found = causes(examine(minilm, [part for part in PARTS if part.passage_id not in gone]))
    missing = {key for key, cause in found.items() if cause == "missing"}
    assert missing == {key for key, grades in QRELS.items() if set(grades) <= gone}
    assert len(missing) == 3


def test_no_failure_no_symptom(minilm: TorchEncoder) -> None:
    assert examine(minilm, texts={"q": TEXTS["q17"]}, qrels={"q": QRELS["q17"]}) == {}
