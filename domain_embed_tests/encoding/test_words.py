"""One definition of a word: equal however it was typed, whole in every script."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.encoding import words as definition
from domain_embed.encoding.words import folded, head, words, words_before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World_1: x-ray!", ["hello", "world_1", "x", "ray"]),
        ("Größe “naïve” – l’été", ["grösse", "naïve", "l", "été"]),
        ("हिन्दी में खोज।", ["हिन्दी", "में", "खोज"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("བོད་ཡིག", ["བོད", "ཡིག"]),
        ("서울에서 만나요", ["서울에서", "만나요"]),
        ("USB接口坏了2次,换车。", ["usb", "接", "口", "坏", "了", "2", "次", "换", "车"]),
        ("時々サーバー・が", ["時", "々", "サ", "ー", "バ", "ー", "が"]),
        ("𠮷野家", ["𠮷", "野", "家"]),
        ("น้ำดี", ["น\u0e49\u0e4d", "า", "ดี"]),
        ("ខ្មែរ", ["ខ្", "មែ", "រ"]),
        ("ລາວ မြန်မာ", ["ລ", "າ", "ວ", "မြ", "န်", "မာ"]),
        ("Java™ costs 1½ €", ["java", "costs", "1", "1", "2"]),
        ("it´s 5 km² — ok…", ["it", "s", "5", "km2", "ok"]),
        ("\u0301 👍🏽 1️⃣ 🇩🇪 ...", ["1"]),
        ("", []),
    ],
)  # fmt: skip
def test_words_are_whole_in_every_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cafe\u0301", "CAFÉ"),
        ("Donau\u00addampf\u200bschiff", "Donaudampfschiff"),
        ("می\u200cروم", "میروم"),
        ("क्\u200dष", "क्ष"),
        ("ＡＢＣ１２", "abc12"),
        ("ﾃﾞｰﾀ", "データ"),
        ("か\u3099", "が"),
        ("葛\U000e0100", "葛"),
        ("ﬁle", "file"),
        ("STRASSE", "Straße"),
        ("ΟΔΟΣ", "οδος"),
        ("Ϊ\u0301", "ΐ"),
        ("İstanbul", "istanbul"),
        ("I\u0307stanbul", "istanbul"),
        ("كتـــاب", "كتاب"),
        ("\ufeffword", "word"),
        ("5 µg", "5 μg"),
    ],
)
def test_a_word_is_the_same_however_it_was_typed(one: str, other: str) -> None:
    assert words(one) == words(other) != []


def test_scripts_without_spaces_may_stay_in_one_piece() -> None:
    assert words("二维码 und Çà", characters=False) == ["二维码", "und", "çà"]


@given(text=st.text(max_size=40))
def test_words_are_found_again_in_themselves_and_hold_nothing_unseen(text: str) -> None:
    found = words(text)
    assert words(" ".join(found)) == found
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))
    assert all(word and not unicodedata.category(word[0]).startswith("M") for word in found)


def test_the_short_way_for_usual_letters_gives_the_same_words() -> None:
    plain = [chr(code) for code in range(128, sys.maxunicode) if not definition._OTHER.match(chr(code))]
    assert len(plain) > 500
    for character in plain:
        text = f"a{character}b{character} {character}Σ"  # the last sends it the long way
        assert [*words(text)[:-1], words(text)[-1].removesuffix("σ")] == [
            *words(f"a{character}b{character}"), *(words(character) or [""])
        ]  # fmt: skip


def test_english_words_are_what_they_were() -> None:
    text = "Don’t panic: the server’s “retry_after” is 30s — see RFC-6585, naïve clients won't."
    assert words(text) == words_before(text)


def test_folding_keeps_everything_but_what_only_shows() -> None:
    assert folded("Ä\u00ad-B c\u200d") == "ä-b c"


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("My  bike's lock, is stuck", 3, "My bike's lock,"),
        ("only two", 5, "only two"),
        ("车锁打不开了,怎么办", 4, "车锁打不"),
        ("App 打不开", 2, "App 打"),
        ("น้ำดี", 1, "น้"),
    ],
)
def test_the_head_of_a_text_counts_characters_where_there_are_no_spaces(text: str, count: int, expected: str) -> None:
    assert head(text, count) == expected
