"""A language model answers a question from passages, and one judges the answer: both asked once, read strictly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domain_embed.evaluation.squad import exact_match, normalized_answer, token_f1
from domain_embed.evaluation.subject import AnswerOutcome
from domain_embed.judgments.answers import AnswerCache, prompt_key, without_reasoning
from domain_embed.judgments.draw import TEXT_CHARACTERS
from domain_embed.judgments.endpoint import Endpoint
from domain_embed.judgments.prompt import Template

NO_ANSWER = "NO ANSWER"
"""What a model says, by the packaged prompt, when the passages do not hold the answer."""
NO_PASSAGES, NONE_KNOWN = "(none)", "(none is known)"


class Judgment(BaseModel):
    """What the judge says of an answer: its claims, how many the passages support, and how complete it is, 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    claims: int = Field(ge=0)
    supported: int = Field(ge=0)
    completeness: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _supports_what_is_claimed(self) -> Self:
        if self.supported > self.claims:
            raise ValueError("more claims supported than made")
        return self

    @classmethod
    def read(cls, said: str) -> Self | None:
        """A judgment in exactly the form the judge is asked for, with or without a code fence; None for all else."""
        try:
            return cls.model_validate_json(said.removeprefix("```json").removeprefix("```").removesuffix("```"))
        except ValidationError:
            return None

    @property
    def groundedness(self) -> float | None:
        """The share of claims that is supported; None of an answer that claims nothing.

        The faithfulness of Es et al. (RAGAs: Automated Evaluation of Retrieval Augmented Generation, EACL 2024).
        """
        return self.supported / self.claims if self.claims else None


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One system's answer to one query, "" where there is none; a figure is None where it was not to be had."""

    system: str
    query_id: str
    query: str
    answer: str
    outcome: AnswerOutcome
    exact: float | None = None
    f1: float | None = None
    grounded: float | None = None
    complete: float | None = None


@dataclass(frozen=True)
class Speaker:
    """A language model and the prompt it is asked by; what it said before is not asked again."""

    model: str
    template: Template
    endpoint: Endpoint
    cache: AnswerCache

    def say(self, **values: str) -> str | None:
        """What it says to the prompt with these values, without its reasoning; None when the endpoint refuses.

        Raises as Endpoint and AnswerCache do.
        """
        prompt = self.template.filled(values)
        key = prompt_key(prompt, self.model, self.template.version)
        said = self.cache.get(key)
        if said is None:
            said = self.endpoint.ask(prompt)
            if said is None:
                return None
            self.cache.put(key, said)
        return without_reasoning(said).encode(errors="replace").decode()  # half a surrogate pair cannot be sent on


def score_answer(
    writer: Speaker, judge: Speaker, system: str, query_id: str, query: str, texts: Sequence[str], known: Sequence[str]
) -> ScoredAnswer:
    """The writer's answer from these passages, compared with known answers, if any, and judged.

    An answer that says that the passages hold none is worth 0, and neither grounded nor not; no judge is asked.

    Args:
        writer: Is asked with {question} and {passages}.
        judge: Is asked with these, {answer} and {reference}.
        system: Whose passages they are.
        query_id: The query's.
        query: Its text.
        texts: Of the passages, best first; each is cut to TEXT_CHARACTERS.
        known: Right answers.
    """
    listed = (f"[{rank}] {text[:TEXT_CHARACTERS]}" for rank, text in enumerate(texts, start=1))
    shown = {"question": query, "passages": "\n\n".join(listed) or NO_PASSAGES}
    answer = writer.say(**shown)
    scored = ScoredAnswer(system, query_id, query, answer or "", "refused" if answer is None else "empty")
    if not answer:
        return scored
    if normalized_answer(answer) == normalized_answer(NO_ANSWER):
        nothing = 0.0 if known else None
        return replace(scored, outcome="declined", exact=nothing, f1=nothing, complete=0.0)
    if known:
        scored = replace(scored, exact=exact_match(answer, known), f1=token_f1(answer, known))
    said = judge.say(**shown, answer=answer, reference="\n".join(f"- {one}" for one in known) or NONE_KNOWN)
    judgment = Judgment.read(said or "")
    if judgment is None:
        return replace(scored, outcome="unjudged")
    return replace(scored, outcome="judged", grounded=judgment.groundedness, complete=judgment.completeness)
