"""Documents to passages, the unit that is embedded, retrieved and judged."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.progress import Progress, progress_bar
from domain_embed.contracts.records import embedded_text
from domain_embed.contracts.tables import PASSAGES, content_hash
from domain_embed.corpus.batches import bounded
from domain_embed.corpus.cuts import grapheme_end, windows, without_abbreviations
from domain_embed.corpus.headings import MAX_TITLE_CHARACTERS, Section, find_sections
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.settings import ChunkingSettings

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter
    from tokenizers import Tokenizer

SEPARATOR = " > "
MIN_TOKENS = 16
"""Left for a passage's text, however long its title is."""
BUDGET_STEP = 8
"""Budgets are rounded down to multiples of this: a splitter holds its own copy of the tokenizer."""
WINDOW_PER_TOKEN = 128
"""Characters for each token of the budget: longer texts are split window by window, some thirty passages at a time,
because the splitter's time grows with the square of a text without any sentence's end."""
SAMPLES_KEPT = 20


@dataclass
class ChunkReport:
    """What was made, and what the model does not see of it; filled while the batches are consumed."""

    passages: int = 0
    tokens: int = 0
    longer_than_limit: int = 0
    lost_tokens: int = 0
    samples: list[tuple[str, int]] = field(default_factory=list)  # (passage_id, tokens), the longest first

    @property
    def lost_share(self) -> float:
        """Share of all tokens that lie beyond the model's limit."""
        return self.lost_tokens / self.tokens if self.tokens else 0.0

    def add(self, passage_ids: Sequence[str], tokens: Sequence[int], limit: int) -> None:
        """Counts passages with their tokens, special ones included."""
        over = [(passage_id, count) for passage_id, count in zip(passage_ids, tokens, strict=True) if count > limit]
        self.passages += len(passage_ids)
        self.tokens += sum(tokens)
        self.longer_than_limit += len(over)
        self.lost_tokens += sum(count - limit for _, count in over)
        self.samples = sorted([*self.samples, *over], key=lambda sample: -sample[1])[:SAMPLES_KEPT]


def chunk_documents(
    documents: Iterable[pa.RecordBatch],
    settings: ChunkingSettings,
    tokenizer: "Tokenizer",
    model_max_tokens: int,
    report: ChunkReport,
    *,
    count: int = 0,
) -> Iterator[pa.RecordBatch]:
    """Yields PASSAGES batches of bounded size, in the order of the documents and of their text.

    `start` and `end` are characters of the document's text: text[start:end].strip() is the passage. Without overlap,
    every character that is neither white space nor on the line of a heading is in exactly one passage. Ids are made of
    the content, so that a judgment stays with its text when a paragraph is inserted elsewhere. Every document gives at
    least one passage, with the metadata of the document.

    Args:
        documents: DOCUMENTS batches.
        settings: Strategy, longest passage and overlap.
        tokenizer: The base model's; its own truncation and padding are ignored.
        model_max_tokens: What the model sees of a text, in tokens, special ones included.
        report: Filled while the batches are consumed.
        count: Number of documents, for the progress bar; 0 when it is not known.
    """
    counter = TokenCounter(tokenizer)
    with progress_bar("passages", count, "documents") as progress:
        batches: Iterator[pa.RecordBatch]
        if settings.strategy == "none":
            batches = (_whole_documents(batch, progress) for batch in documents)
        else:
            batches = _cut_documents(documents, _Chunker(settings, counter, model_max_tokens), progress)
        for batch in batches:
            texts = map(embedded_text, batch["title"].to_pylist(), batch["text"].to_pylist())
            report.add(batch["passage_id"].to_pylist(), counter.count(texts), model_max_tokens)
            yield batch


def _whole_documents(batch: pa.RecordBatch, progress: Progress) -> pa.RecordBatch:
    columns = {name: batch[name] for name in batch.schema.names}
    columns["passage_id"] = batch["doc_id"]
    columns["heading"] = pa.array([""] * len(batch))
    columns["start"] = pa.array([0] * len(batch), pa.int64())
    columns["end"] = pc.utf8_length(batch["text"]).cast(pa.int64())
    progress.update(len(batch))
    return pa.RecordBatch.from_pydict(columns, schema=PASSAGES)


def _cut_documents(
    documents: Iterable[pa.RecordBatch], chunker: "_Chunker", progress: Progress
) -> Iterator[pa.RecordBatch]:
    def passages() -> Iterator[dict[str, Any]]:
        for batch in documents:
            for document in batch.to_pylist():
                yield from chunker.passages(document)
                progress.update(1)

    for rows in bounded(passages()):
        yield pa.RecordBatch.from_pylist(rows, schema=PASSAGES)


class _Chunker:
    """Cuts documents at headings, or sentences, or both, to a budget of tokens."""

    def __init__(self, settings: ChunkingSettings, counter: TokenCounter, model_max_tokens: int) -> None:
        self._by_headings = settings.strategy == "headings"
        self._max_tokens = settings.max_tokens or model_max_tokens
        self._overlap = settings.overlap_tokens
        self._counter = counter
        self._splitter = lru_cache(maxsize=32)(self._new_splitter)

    def passages(self, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The PASSAGES rows of a DOCUMENTS row."""
        text, seen = document["text"], Counter[str]()
        for section, start, end in self._spans(document["title"], text):
            heading = SEPARATOR.join(section.headings)
            title = _title(document["title"], section)
            passage_id = _passage_id(document["doc_id"], heading, text[start:end])
            seen[passage_id] += 1
            yield {
                **document,
                "passage_id": passage_id if seen[passage_id] == 1 else f"{passage_id}-{seen[passage_id]}",
                "title": title,
                "text": text[start:end],
                "content_hash": content_hash(title, text[start:end]),
                "heading": heading,
                "start": start,
                "end": end,
            }

    def _spans(self, title: str, text: str) -> Iterator[tuple[Section, int, int]]:
        whole = Section((), 0, len(text))
        found = False
        for section in find_sections(text) if self._by_headings else (whole,):
            for start, end in self._cut(_title(title, section), text, section):
                found = True
                yield section, start, end
        if not found:  # nothing but headings: they are the text
            start, end = _stripped(text, 0, len(text))
            yield whole, start, end

    def _cut(self, title: str, text: str, section: Section) -> Iterator[tuple[int, int]]:
        """The spans of a section's passages, without white space at either end; none when it is blank."""
        start, end = _stripped(text, section.start, section.end)
        if start == end:
            return
        budget = self._max_tokens - self._counter.special - self._counter.count_plain(title)
        budget = max(MIN_TOKENS, budget // BUDGET_STEP * BUDGET_STEP)
        splitter = self._splitter(budget)
        part = without_abbreviations(text[start:end])  # the splitter takes every period for a sentence's end
        for window_start, window_end in windows(part, budget * WINDOW_PER_TOKEN):
            for offset, chunk in splitter.chunk_indices(part[window_start:window_end]):
                first = window_start + offset
                whole = (start + grapheme_end(part, place) for place in (first, first + len(chunk)))
                span = _stripped(text, *whole)
                if span[0] < span[1]:
                    yield span

    def _new_splitter(self, budget: int) -> "TextSplitter":
        from semantic_text_splitter import TextSplitter

        overlap = min(self._overlap, budget // 2)
        return TextSplitter.from_huggingface_tokenizer(self._counter.tokenizer, budget, overlap=overlap)


def _title(document_title: str, section: Section) -> str:
    """Of a longer title the beginning: it stands before every passage of the document."""
    return SEPARATOR.join(filter(None, (document_title[:MAX_TITLE_CHARACTERS], *section.headings)))


def _passage_id(doc_id: str, heading: str, text: str) -> str:
    digest = hashlib.sha256(f"{heading}\x00{text}".encode()).hexdigest()
    return f"{doc_id}#{digest[:8]}"


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())
