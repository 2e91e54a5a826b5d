"""Where texts are cut: sentences of every script, and no character in two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.corpus.cuts import grapheme_end, windows, without_abbreviations

FAMILY, FLAGS, ACCENTED, HANGUL = "👨\u200d👩\u200d👧\u200d👦", "🇩🇪🇫🇷🇯🇵", "e\u0301\u0302", "\u1112\u1161\u11ab"


def cut(text: str, size: int) -> list[str]:
    return [text[start:end] for start, end in windows(without_abbreviations(text), size)]


@pytest.mark.parametrize(
    ("text", "size", "first"),
    [
        ("环形锁自动打开。红灯闪烁表示", 12, "环形锁自动打开。"),
        ("环形锁打开了!红灯闪烁表示锁的", 12, "环形锁打开了!"),
        ("「鍵が開きます。」赤いランプは電池切れです", 14, "「鍵が開きます。」"),
        ("هل الضوء أحمر؟ اختر دراجة أخرى", 20, "هل الضوء أحمر؟"),
        ("बैटरी कम है। दूसरी साइकिल लें", 20, "बैटरी कम है।"),
        ("Es kam Dr. Müller. Er maß am 3. Mai", 32, "Es kam Dr. Müller."),
        ("Er maß z. B. Öl. Es war, d. h. Fett war da", 30, "Er maß z. B. Öl."),
        ('He said "stop." Then we left it there', 24, 'He said "stop."'),
        ("A line\nA sentence. And more of it", 12, "A line\n"),
        ("no sentence ends in these words", 20, "no sentence ends in "),
        (FAMILY * 2 + "x", 9, FAMILY * 2),
        (FLAGS, 3, FLAGS[:4]),
        (ACCENTED * 3, 4, ACCENTED * 2),
        (HANGUL * 2, 2, HANGUL),
    ],
)  # fmt: skip
def test_a_window_ends_with_a_sentence_or_at_least_with_a_grapheme(text: str, size: int, first: str) -> None:
    assert cut(text, size)[0] == first


@given(
    text=st.lists(st.sampled_from([*"aé。!? \n", FAMILY, FLAGS, ACCENTED, HANGUL, "ก็", "क्षि"]), max_size=40).map(
        "".join
    ),
    size=st.integers(1, 12),
)
def test_windows_make_up_the_text_and_cut_no_grapheme(text: str, size: int) -> None:
    parts = cut(text, size)
    assert "".join(parts) == text
    assert all(parts)
    places = [start for start, _ in windows(without_abbreviations(text), size)]
    assert [grapheme_end(text, place) for place in places] == places


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Prof. Dr. Öl kam z.B. Am Montag", "Prof, Dr, Öl kam z,B, Am Montag"),
        ("vgl. Nr. 5 und Nr. Eins", "vgl, Nr, 5 und Nr. Eins"),
        ("am 3. Oktober um 3. Dann", "am 3, Oktober um 3. Dann"),
        ("Obst usw. Danach", "Obst usw. Danach"),
        ("We met at 5. May we go?", "We met at 5. May we go?"),
        ("He ran. Big dogs too. Ca.", "He ran. Big dogs too. Ca."),
    ],
)
def test_periods_of_abbreviations_end_no_sentence(text: str, masked: str) -> None:
    assert without_abbreviations(text) == masked
