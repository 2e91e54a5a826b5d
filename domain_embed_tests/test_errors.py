"""The product's errors: short, and printable whatever they are about."""

from domain_embed.contracts.errors import SHOWN_CHARACTERS, InputError


def test_a_message_is_cut_and_its_hint_kept() -> None:
    message = str(InputError("x" * 1_000_000, "mend it"))
    assert message == "x" * SHOWN_CHARACTERS + "… (1,000,000 characters)\n  → mend it"


def test_a_message_about_a_name_that_is_no_text_can_be_encoded() -> None:
    assert str(InputError("caf\udce9.md is bad")) == "caf\\udce9.md is bad"
