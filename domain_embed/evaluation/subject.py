"""What an evaluation is about, and what else is known of the models it compares."""

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain_embed.contracts.records import Comparison, Mode
from domain_embed.evaluation.names import system_name, variant_name

_FROZEN = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Gate(BaseModel):
    """A check that everything rests on, like parity or leakage, and what it found."""

    model_config = _FROZEN

    name: str
    passed: bool
    detail: str


class Forgetting(BaseModel):
    """nDCG@10 of base and tuned model on probes outside the domain, by name of the probe."""

    model_config = _FROZEN

    base: dict[str, float]
    tuned: dict[str, float]

    @property
    def loss(self) -> float:
        """Mean of base minus tuned over the probes that both were measured on; negative when the tuned is better."""
        probes = self.base.keys() & self.tuned.keys()
        return sum(self.base[probe] - self.tuned[probe] for probe in probes) / len(probes) if probes else 0.0


class Serving(BaseModel):
    """How one system serves: latency of single queries, one after the other, and what its index misses.

    `ann_recall` is the share of the exact first ten that approximate dense search finds; None without dense search.
    """

    model_config = _FROZEN

    system: str
    queries: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    ann_recall: float | None


class Sharding(BaseModel):
    """What several shards do to a system's figures, since BM25 takes the weights of words from each shard alone.

    `ndcg` is nDCG@10 on the test queries through the collection of `shards` shards, `one_shard` the same through a
    collection of one shard with the same model and passages.
    """

    model_config = _FROZEN

    system: str
    shards: int
    ndcg: float
    one_shard: float


class Containment(BaseModel):
    """Of the test queries whose answer is known as text: the share whose first k passages hold it, by k."""

    model_config = _FROZEN

    queries: int
    shares: dict[int, float]
    intervals: dict[int, tuple[float, float]]


ANSWER_FIGURES = ("exact", "f1", "grounded", "complete")
"""Of generated answers, each from 0 to 1: equal to a known answer; the words shared with it; the share of claims that
the passages support; the share of a known answer, or else of what was asked for, that is given. A model judges the last
two."""

AnswerOutcome: TypeAlias = Literal["judged", "declined", "unjudged", "empty", "refused"]
"""What became of a question: an answer that was judged; the answer that the passages hold none; an answer of which the
judge said nothing that can be read; no text; or a request that the endpoint refused."""


class AnswerFigure(BaseModel):
    """A mean over the queries that have the figure, at least one, and its 95 % interval."""

    model_config = _FROZEN

    queries: int
    mean: float
    ci95: tuple[float, float]


class SystemAnswers(BaseModel):
    """The answers from one system's first passages: figures by name, where there are any, and queries by outcome."""

    model_config = _FROZEN

    figures: dict[str, AnswerFigure]
    outcomes: dict[AnswerOutcome, int]


class AnswerQuality(BaseModel):
    """How good the answers are that a model gives from the first passages, and who says so.

    `prompt` and `judge_prompt` are versions. `queries` were asked of every system; `differences` are paired, each over
    the queries for which both systems have the figure. `not_sent` passages were found and not shown to the model, whose
    groups may not see them.
    """

    model_config = _FROZEN

    model: str
    judge_model: str
    prompt: str
    judge_prompt: str
    passages: int
    queries: int
    systems: dict[str, SystemAnswers]
    differences: tuple[Comparison, ...]
    not_sent: int = 0

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """The mean of each figure there is, by system and figure."""
        return {
            system: {name: figure.mean for name, figure in found.figures.items()}
            for system, found in self.systems.items()
        }


class TestSetLook(BaseModel):
    """The how-manieth challenger this test set decides on, and what that decision may risk.

    `level` is one-sided; None when all that may be risked was spent. `fresh` test queries decided on none before.
    """

    __test__ = False  # no test, whatever its name
    model_config = _FROZEN

    number: int
    planned: int
    level: float | None
    fresh: int


class Subject(BaseModel):
    """What was evaluated, and where it comes from.

    `dense_weights` is the share of the dense score in weighted fusion, tuned on validation queries, by model. `serves`
    is the variant in which each model would serve, by model, where that was chosen (`served_mode` is auto), and
    `choices` says in words why.
    """

    model_config = _FROZEN

    domain: str
    served_mode: Mode | Literal["auto"]
    served_rerank: bool = False
    queries_per_split: dict[str, int]
    passages: int
    challenger_fingerprint: str
    baseline_fingerprint: str
    champion_fingerprint: str | None = None
    model_path: str
    collection: str
    created_at: AwareDatetime
    dense_weights: dict[str, float] = {}
    serves: dict[str, str] = {}
    choices: dict[str, str] = {}

    @property
    def nothing_tuned(self) -> bool:
        """Whether the tuned model is the base model: nothing was trained, or nothing of it was kept."""
        return self.challenger_fingerprint == self.baseline_fingerprint

    @property
    def is_chosen(self) -> bool:
        """Whether each model serves in a variant of its own."""
        return self.served_mode == "auto"

    def variant(self, model: str) -> str:
        """The variant in which a model would serve, like "hybrid+rerank"; dense when settings let no model serve."""
        if self.is_chosen:
            return self.serves[model]
        return "dense" if self.served_mode == "sparse" else variant_name(self.served_mode, self.served_rerank)

    def as_served(self, model: str) -> str:
        """The system that a model would be: of the base model perhaps BM25, which needs none."""
        return system_name(model, self.variant(model))


class Circumstances(BaseModel):
    """What else was found out and bears on the decision; None and empty is what was not measured.

    `validation` is the headline's comparison on the validation queries, which chose the checkpoint.
    """

    model_config = _FROZEN

    gates: tuple[Gate, ...] = ()
    look: TestSetLook | None = None
    validation: Comparison | None = None
    forgetting: Forgetting | None = None
    containment: dict[str, Containment] = {}
    answers: AnswerQuality | None = None
    serving: tuple[Serving, ...] = ()
    sharding: tuple[Sharding, ...] = ()
