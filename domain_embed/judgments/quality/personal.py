"""Personal data in passages and queries, by the pattern recognisers of presidio: no language model is needed."""

from collections.abc import Sequence
from typing import Any, Protocol

import pandas as pd

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.progress import progress_bar
from domain_embed.judgments.quality.findings import Findings
from domain_embed.judgments.quality.texts import sampled_texts
from domain_embed.settings import QualitySettings

NAMES = {
    "EMAIL_ADDRESS": "email address",
    "PHONE_NUMBER": "phone number",
    "CREDIT_CARD": "credit card number",
    "IBAN_CODE": "bank account (IBAN)",
}
"""What is looked for. Names of people need a language model, and addresses of machines stand in every manual."""
MIN_SCORE = 0.4
"""As high as a phone number scores in presidio without words around it that confirm it."""
MAX_CHARACTERS = 20_000
SHOWN_CHARACTERS = 2


class Recognizer(Protocol):
    """A recogniser of presidio that needs nothing but the text."""

    supported_entities: list[str]

    def analyze(self, text: str, entities: list[str]) -> list[Any]:
        """Results with entity_type, start, end and score."""
        ...


def check_personal_data(
    judgments: pd.DataFrame, passages: TableReader, settings: QualitySettings, findings: Findings
) -> None:  # fmt: skip
    """`personal_data`: one finding for each text that holds some, which it names masked.

    At most `sample` passages and as many queries are looked at.

    Raises:
        SettingsError: When the extra `pii` is not installed.
    """
    recognizers = _recognizers()
    for ids, texts in sampled_texts(passages, settings.sample, settings.seed, "look for personal data"):
        for passage_id, text in zip(ids, texts, strict=True):
            detail = _found(text, recognizers)
            if detail:
                findings.add("personal_data", "passage", detail, passage_id=passage_id)
    queries = judgments.drop_duplicates("text")
    queries = queries.sample(min(len(queries), settings.sample), random_state=settings.seed)
    with progress_bar("look for personal data", len(queries), "queries") as progress:
        for query_id, query in queries[["query_id", "query"]].itertuples(index=False, name=None):
            detail = _found(query, recognizers)
            if detail:
                findings.add("personal_data", "query", detail, query_id=query_id)
            progress.update(1)


def _recognizers() -> list[Recognizer]:
    try:
        from presidio_analyzer.predefined_recognizers import (
            CreditCardRecognizer,
            EmailRecognizer,
            IbanRecognizer,
            PhoneRecognizer,
        )
        from tldextract import TLDExtract
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"quality.personal_data needs the package {error.name}, which is not installed",
            'pip install "domain-embed[pii]", or set quality.personal_data to false',
        ) from error
    # The list of top-level domains that comes with the package: by default it is fetched from the network.
    domains = TLDExtract(suffix_list_urls=(), cache_dir=None)

    class OfflineEmailRecognizer(EmailRecognizer):  # type: ignore[misc, unused-ignore]
        def validate_result(self, pattern_text: str) -> bool:
            return bool(domains(pattern_text).fqdn)

    return [OfflineEmailRecognizer(), PhoneRecognizer(), CreditCardRecognizer(), IbanRecognizer()]


def _found(text: str, recognizers: Sequence[Recognizer]) -> str:
    """What was found, each with its first characters; empty for nothing."""
    start = text[:MAX_CHARACTERS]
    results = [
        result
        for recognizer in recognizers
        for result in recognizer.analyze(start, recognizer.supported_entities)
        if result.score >= MIN_SCORE
    ]
    found = {
        f"{NAMES[result.entity_type]} {start[result.start : result.start + SHOWN_CHARACTERS]}…"
        for result in sorted(results, key=lambda result: result.start)
    }
    return ", ".join(sorted(found))
