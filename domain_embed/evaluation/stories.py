"""Single queries and passages as a reader sees them: titles, the beginning of texts, and what is relevant."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain_embed.evaluation.movement import Movement, Unjudged

_SNIPPET_CHARACTERS = 110
# Of the passages that came or went without being relevant, these suffice to see what kind they are.
_OTHERS_SHOWN = 2


@dataclass(frozen=True)
class PassageText:
    """What a reader needs to recognise a passage; the report shortens the text."""

    title: str
    text: str


@dataclass(frozen=True)
class Card:
    """One passage, as shown."""

    title: str
    snippet: str
    relevant: bool


@dataclass(frozen=True)
class Moves:
    """The passages that went one way: those shown, and how many are not."""

    cards: tuple[Card, ...]
    hidden: int


@dataclass(frozen=True)
class Story:
    """One query's movement, as shown."""

    query: str
    movement: Movement
    entered: Moves
    left: Moves


@dataclass(frozen=True)
class Question:
    """One passage that nobody has judged for a query, as shown."""

    query: str
    rank: int
    card: Card


def story(movement: Movement, queries: Mapping[str, str], passages: Mapping[str, PassageText]) -> Story:
    """A movement with its texts; what has none is shown by its id."""
    return Story(
        query=queries.get(movement.query_id, movement.query_id),
        movement=movement,
        entered=_moves(movement.entered, movement.relevant, passages),
        left=_moves(movement.left, movement.relevant, passages),
    )


def question(one: Unjudged, queries: Mapping[str, str], passages: Mapping[str, PassageText]) -> Question:
    """An unjudged passage with its texts; what has none is shown by its id."""
    return Question(queries.get(one.query_id, one.query_id), one.rank, _card(one.passage_id, False, passages))


def _moves(passage_ids: Sequence[str], relevant: Sequence[str], passages: Mapping[str, PassageText]) -> Moves:
    """Every relevant passage, then a few of the others."""
    others = [passage_id for passage_id in passage_ids if passage_id not in relevant]
    shown = [passage_id for passage_id in passage_ids if passage_id in relevant] + others[:_OTHERS_SHOWN]
    cards = tuple(_card(passage_id, passage_id in relevant, passages) for passage_id in shown)
    return Moves(cards, hidden=len(passage_ids) - len(cards))


def _card(passage_id: str, relevant: bool, passages: Mapping[str, PassageText]) -> Card:
    passage = passages.get(passage_id, PassageText("", ""))
    snippet = textwrap.shorten(passage.text, _SNIPPET_CHARACTERS, placeholder=" …")
    return Card(title=passage.title or passage_id, snippet=snippet, relevant=relevant)
