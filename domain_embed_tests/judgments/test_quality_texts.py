"""Quality checks that need no model: each finds its culprits, says so readably, and leaves the rest alone."""

import sys
from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from domain_embed.contracts.errors import SettingsError
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.languages import language_of
from domain_embed.judgments.quality import findings as collecting
from domain_embed.judgments.quality.balance import check_classes, check_sources
from domain_embed.judgments.quality.checks import CHECKS, severities
from domain_embed.judgments.quality.findings import Findings, quoted
from domain_embed.judgments.quality.languages import check_languages
from domain_embed.judgments.quality.pairs import check_copied, check_cut
from domain_embed.judgments.quality.passages import check_passages
from domain_embed.judgments.quality.personal import check_personal_data
from domain_embed.judgments.quality.queries import check_contradictions, check_queries
from domain_embed.judgments.quality.unread import Unread, check_unread
from domain_embed.settings import QualitySettings
from domain_embed_tests import scenario
from domain_embed_tests.judgments.quality_material import everything_on, found, judged, labels, passages

SETTINGS = QualitySettings()
LONG = "When the primary is gone, fence it, promote the standby and point the pooler at the new leader of the group."
CLEAN = passages({one.passage_id: f"{one.title} {one.text}" for one in scenario.CORPUS})
CLEAN_JUDGED = judged(*((query.query_id, query.text, passage_id) for query, passage_id, _ in scenario.PAIRS))


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


# --- passages -------------------------------------------------------------------------------------------


def test_near_empty_passages_are_shown() -> None:
    findings = everything_on()
    check_passages(passages({"a": LONG, "b": "see above", "c": ""}), SETTINGS, findings)
    assert found(findings, "short_text") == [
        ("passage", None, "b", "9 characters: “see above”"),
        ("passage", None, "c", "no text at all"),
    ]


def test_every_further_copy_of_a_passage_is_a_finding() -> None:
    findings = everything_on()
    check_passages(
        passages({"a": LONG, "b": "Something else entirely, at length.", "c": LONG, "d": LONG}), SETTINGS, findings
    )
    detail = f"the same text as a: {quoted(LONG)}"
    assert found(findings, "duplicate_passage") == [("passage", None, "c", detail), ("passage", None, "d", detail)]


def test_near_copies_are_told_from_copies() -> None:
    findings = everything_on()
    near = LONG.replace("group", "crowd").upper()
    check_passages(passages({"a": LONG, "b": near, "c": LONG}), SETTINGS, findings)
    rows = findings.table().select(["check", "passage_id", "detail"]).to_pylist()
    assert rows == [
        {"check": "duplicate_passage", "passage_id": "c", "detail": f"the same text as a: {quoted(LONG)}"},
        {"check": "near_duplicate_passage", "passage_id": "b", "detail": f"nearly the same text as a: {quoted(near)}"},
    ]


# --- queries and labels ---------------------------------------------------------------------------------


def test_a_query_under_several_ids_is_one_finding() -> None:
    findings = everything_on()
    check_queries(judged(("q1", "Make tea", "a"), ("q2", "make  TEA", "b"), ("q3", "coffee", "a")), SETTINGS, findings)
    assert found(findings, "duplicate_query") == [("query", "q1", None, "“Make tea” under 2 ids: q1, q2")]


def test_nearly_the_same_query_is_named_with_its_model() -> None:
    findings = everything_on()
    check_queries(judged(("q1", "how to make tea", "a"), ("q2", "How to make tea?", "b")), SETTINGS, findings)
    detail = "“How to make tea?” is nearly “how to make tea” (q1)"
    assert found(findings, "near_duplicate_query") == [("query", "q2", None, detail)]


def test_queries_and_passages_that_fit_everything() -> None:
    settings = QualitySettings(max_queries_per_passage=2, max_passages_per_query=3)
    wide = [("q1", "help", f"p{n}") for n in range(4)]
    findings = everything_on()
    check_queries(judged(*wide, wide[0]), settings, findings)
    assert found(findings, "broad_query") == [("query", "q1", None, "“help” has 4 positives")]
    findings = everything_on()
    asked = ("reset the router", "pay an invoice", "book a room")
    check_queries(judged(*((f"q{n}", query, "faq") for n, query in enumerate(asked))), settings, findings)
    detail = "answers 3 queries, like “reset the router”, “pay an invoice”, “book a room”"
    assert found(findings, "broad_passage") == [("passage", None, "faq", detail)]


def test_contradictions_name_who_said_what() -> None:
    findings = everything_on()
    check_contradictions(
        labels(
            ("q1", "Make tea", "a", 1, "ann"), ("q9", "make tea", "a", 0, "ben"),
            ("q2", "coffee", "a", 3, "ann"), ("q2", "coffee", "a", 1, "ben"),
            ("q3", "cocoa", "a", 2, "ann"), ("q3", "cocoa", "a", 1, "ben"), ("q3", "cocoa", "b", 0, "ben"),
            ("q4", "water", None, 1, "ann"), ("q4", "water", None, 0, "ann"),
        ),
        findings,
    )  # fmt: skip
    assert found(findings, "contradiction") == [
        ("judgment", "q1", "a", "“Make tea”: grade 0 by ben, 1 by ann"),
        ("judgment", "q2", "a", "“coffee”: grade 1 by ben, 3 by ann"),
    ]


# --- queries with their passages ------------------------------------------------------------------------


def test_a_long_query_that_stands_in_its_passage_is_copied() -> None:
    table = passages({"a": LONG, "b": "Nothing of the kind stands here."})
    copied = "promote the standby and point the pooler at THE NEW leader?"
    rows = judged(("q1", copied, "a"), ("q2", copied, "b"), ("q3", "promote the standby", "a"))
    findings = everything_on()
    check_copied(rows, table, SETTINGS, findings)
    assert found(findings, "copied_query") == [
        ("judgment", "q1", "a", f"“{copied}” stands word for word in a"),
    ]


def test_words_are_compared_whole() -> None:
    rows = judged(("q1", "romote the standby and point the pooler at", "a"))
    findings = everything_on()
    check_copied(rows, passages({"a": LONG}), SETTINGS, findings)
    assert found(findings, "copied_query") == []


@pytest.mark.parametrize(
    ("passage", "copied", "other"),
    [
        ("请用手机扫描车座下的二维码,环形锁自动打开。", "扫描车座下的二维码", "扫描车座上的二维码"),
        ("सीट के नीचे लगे कोड को अपने फ़ोन से धीरे धीरे स्कैन करें", "नीचे लगे कोड को अपने फ़ोन से धीरे", "नीचे लगी कोड को अपने फ़ोन से धीरे"),
        (
            "Der Schlu\u0308ssel liegt fu\u0308r alle im Schu\u00adppen hinter dem Haus",
            "schlüssel liegt für alle im schuppen hinter dem",
            "schlussel liegt für alle im schuppen hinter dem",
        ),
    ],
)  # fmt: skip
def test_copies_are_found_in_any_script(passage: str, copied: str, other: str) -> None:
    findings = everything_on()
    check_copied(judged(("q1", copied, "a"), ("q2", other, "a")), passages({"a": passage}), SETTINGS, findings)
    assert [query_id for _, query_id, _, _ in found(findings, "copied_query")] == ["q1"]


def test_positives_beyond_the_limit_say_how_much_is_lost() -> None:
    table = passages({"a": "word " * 40, "b": "word " * 20, "c": "word " * 100, "d": "short"})
    rows = judged(("q1", "x", "a"), ("q2", "y", "b"), ("q3", "z", "d"))
    findings = everything_on()
    check_cut(rows, table, words, 20, findings)
    detail = f"40 tokens, the model reads 20, 50 % are lost: {quoted('word ' * 40)}"
    assert found(findings, "cut_positive") == [("passage", None, "a", detail)]


# --- what the model can read ---------------------------------------------------------------------------

CHINESE = "请用手机扫描车座下的二维码"


@pytest.fixture(scope="module")
def counter(minilm: TorchEncoder) -> TokenCounter:
    return TokenCounter(minilm.tokenizer)


def test_texts_of_unknown_characters_are_findings_and_a_single_sign_is_none(counter: TokenCounter) -> None:
    findings = everything_on()
    rows = judged(("q1", "怎么打开车锁", "a"), ("q2", "open the lock 🔒", "a"), ("q3", "Öffnen der Schlösser", "a"))
    unread = check_unread(rows, passages({"a": LONG, "zh": CHINESE}), counter, SETTINGS, findings)
    assert found(findings, "unread_text") == [
        ("passage", None, "zh", f"the model does not know 9 of 13 tokens: {quoted(CHINESE)}"),
        ("query", "q1", None, "the model does not know 6 of 6 tokens: “怎么打开车锁”"),
    ]
    assert unread == Unread(passages=9 / (13 + 26), queries=7 / (6 + 4 + 7))
    assert unread.language


def test_an_english_domain_is_read(counter: TokenCounter) -> None:
    findings = everything_on()
    assert check_unread(CLEAN_JUDGED, CLEAN, counter, SETTINGS, findings) == Unread(0.0, 0.0)
    assert not Unread(0.0, 0.0).language
    assert found(findings, "unread_text") == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (models.WordPiece({"[U]": 0, "a": 1}, unk_token="[U]"), [(1, 2), (0, 0)]),
        (models.WordLevel({"a": 0, "[U]": 1}, unk_token="[U]"), [(1, 2), (0, 0)]),
        (models.Unigram([("<unk>", 0.0), ("a", -1.0)], 0, byte_fallback=False), [(1, 2), (0, 0)]),
        (models.BPE({"a": 0, "x": 1}, []), [(0, 1), (0, 0)]),  # it drops what it does not know
    ],
)
def test_every_kind_of_vocabulary_says_what_it_lacks(model: Any, expected: list[tuple[int, int]]) -> None:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert TokenCounter(tokenizer).unknown(["a 锁", ""]) == expected


# --- languages and personal data ------------------------------------------------------------------------

GERMAN = "Wenn der Server nicht mehr antwortet, wird zuerst die Sicherung geprüft und danach der Dienst neu gestartet."


def test_another_language_than_most_is_a_finding() -> None:
    table = passages({**{f"p{n}": one.text for n, one in enumerate(scenario.CORPUS[:9])}, "de": GERMAN, "x": "ls -la"})
    findings = everything_on()
    check_languages(judged(("q1", GERMAN, "p1"), ("q2", "short", "p1")), table, SETTINGS, findings)
    detail = f"de, expected en: {quoted(GERMAN)}"
    assert found(findings, "language") == [("passage", None, "de", detail), ("query", "q1", None, detail)]


def test_expected_languages_are_no_finding() -> None:
    findings = everything_on()
    table = passages({"de": GERMAN, "en": LONG})
    check_languages(judged(), table, QualitySettings(languages=("de", "en")), findings)
    assert found(findings, "language") == []


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(SettingsError, match=r"quality\.languages: unknown language xx"):
        check_languages(judged(), passages({"a": LONG}), QualitySettings(languages=("en", "xx")), everything_on())


@pytest.mark.parametrize("text", ["", "short text", "1234567890 " * 20, "ERR_CONN_REFUSED"])
def test_the_language_of_what_has_none_is_not_told(text: str) -> None:
    assert language_of(text) is None


def test_personal_data_is_found_and_masked() -> None:
    pytest.importorskip("presidio_analyzer")
    table = passages({
        "a": "Write to jane.doe@example.com or pay to GB33BUKB20201555555555.",
        "b": "Version 4.12.7 of build 20240131 listens on 10.0.0.1 port 8080 with 65536 sockets.",
    })  # fmt: skip
    findings = everything_on()
    check_personal_data(judged(("q1", "refund card 4111 1111 1111 1111", "b")), table, SETTINGS, findings)
    assert found(findings, "personal_data") == [
        ("passage", None, "a", "bank account (IBAN) GB…, email address ja…"),
        ("query", "q1", None, "credit card number 41…"),
    ]


def test_personal_data_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer.predefined_recognizers", None)
    with pytest.raises(SettingsError, match=r'pip install "domain-embed\[pii\]"'):
        check_personal_data(judged(), passages({"a": LONG}), SETTINGS, everything_on())


# --- balance --------------------------------------------------------------------------------------------


def test_a_source_that_decides_alone_is_named() -> None:
    findings = everything_on()
    check_sources(
        judged(*(("q", "x", "p", "clicks") for _ in range(95)), ("q", "x", "p", "experts")), SETTINGS, findings
    )
    assert found(findings, "source_imbalance") == [
        ("domain", None, None, "clicks has 99.0 % of the judgments, 1 other the rest"),
    ]


def test_a_single_source_is_no_imbalance() -> None:
    findings = everything_on()
    check_sources(judged(*(("q", "x", "p", "clicks") for _ in range(95))), SETTINGS, findings)
    assert found(findings, "source_imbalance") == []


def test_parts_of_the_corpus_that_nobody_judged_are_named() -> None:
    metadata = {f"p{n}": {"team": "data" if n < 60 else "network", "host": f"h{n}", "rare": n == 0} for n in range(100)}
    table = passages(dict.fromkeys(metadata, LONG), metadata)
    rows = judged(*((f"q{n}", f"question {n}", f"p{n % 60}") for n in range(99)), ("q", "question", "p99"))
    findings = everything_on()
    check_classes(rows, table, findings)
    assert found(findings, "class_imbalance") == [
        ("domain", None, None, "team = network: 40.0 % of the passages, 1.0 % of the judgments (1)"),
    ]


# --- clean data, settings, collecting -------------------------------------------------------------------


def test_nothing_is_found_in_clean_data() -> None:
    findings = everything_on()
    check_passages(CLEAN, SETTINGS, findings)
    check_queries(CLEAN_JUDGED, SETTINGS, findings)
    check_copied(CLEAN_JUDGED, CLEAN, SETTINGS, findings)
    check_cut(CLEAN_JUDGED, CLEAN, words, 64, findings)
    check_sources(CLEAN_JUDGED, SETTINGS, findings)
    check_classes(CLEAN_JUDGED, CLEAN, findings)
    check_languages(CLEAN_JUDGED, CLEAN, SETTINGS, findings)
    check_contradictions(labels(*((q.query_id, q.text, p, grade, "s") for q, p, grade in scenario.PAIRS)), findings)
    assert findings.table().to_pylist() == []


def test_severities_can_be_changed_by_name() -> None:
    settings = QualitySettings(severity={"short_text": "off", "suspect_label": "error"})
    changed = severities(settings)
    assert (changed["short_text"], changed["suspect_label"], changed["leakage"]) == ("off", "error", "error")
    assert changed["personal_data"] == "off"
    assert severities(QualitySettings(personal_data=True))["personal_data"] == "warn"


def test_an_unknown_check_is_named_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"unknown check short_txt\n.*short_text"):
        severities(QualitySettings(severity={"short_txt": "off"}))


def test_a_check_that_is_off_finds_nothing() -> None:
    findings = Findings({**dict.fromkeys(CHECKS, "warn"), "short_text": "off"})
    check_passages(passages({"a": "tiny"}), SETTINGS, findings)
    assert findings.table().num_rows == 0


def test_of_very_many_findings_all_are_counted_and_the_first_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "KEPT_PER_CHECK", 3)
    findings = everything_on()
    check_passages(passages({f"p{n}": f"tiny {n}" for n in range(5)}), QualitySettings(), findings)
    assert findings.counts["short_text"] == 5
    assert findings.table().column("passage_id").to_pylist() == ["p0", "p1", "p2"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("  a \n b ", "“a b”"), ("x" * 500, f"“{'x' * 120} …”"), ("", "“”")],
)  # fmt: skip
def test_texts_are_shown_on_one_line(text: str, shown: str) -> None:
    assert quoted(text) == shown
