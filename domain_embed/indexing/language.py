"""Which stemmer and stop words suit the passages, where the settings leave that to the corpus."""

from domain_embed.contracts.ports import TableReader
from domain_embed.encoding.bm25 import AUTO, STEMMERS
from domain_embed.encoding.languages import common_language
from domain_embed.judgments.quality.texts import sampled_texts
from domain_embed.settings import SparseSettings

SAMPLE = 1000
"""Passages: two seconds, and their language is known to a percent."""


def for_passages(sparse: SparseSettings, passages: TableReader) -> SparseSettings:
    """The settings with the language that `auto` means for these passages; equal for equal passages.

    "none" where they are in several languages, in one without a stemmer, or in none that can be told.
    """
    if sparse.language != AUTO:
        return sparse
    sampled = sampled_texts(passages, SAMPLE, 0, "tell the language of passages")
    language = common_language(text for _, texts in sampled for text in texts)
    return sparse.model_copy(update={"language": STEMMERS.get(language or "", "none")})
