"""One domain's workspace: where its files, tables, vectors, checkpoints, collections and reports live."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from html import escape
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.audit import AuditTrail
from domain_embed.contracts.errors import NotReadyError, SettingsError, StoreError
from domain_embed.contracts.names import stored_in
from domain_embed.contracts.notes import Note
from domain_embed.contracts.ports import Reranker, VectorStore
from domain_embed.contracts.records import CollectionInfo, Served, Where, embedded_text
from domain_embed.encoding.backend import Machine, load_encoder
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.reranker import CrossEncoderReranker
from domain_embed.encoding.score_cache import CachedReranker
from domain_embed.files import RECORD_FILE, keep_file, read_json, tighten_store
from domain_embed.indexing.identity import require_usable
from domain_embed.judgments.graded import filters_of, graded_queries
from domain_embed.promotion.champion import PromotionLog
from domain_embed.retrieval.access import visible_to
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import (
    SETTINGS_FILE,
    AccessSettings,
    DomainSettings,
    Environment,
    ModelSettings,
    RetrievalSettings,
    SettingsStamp,
    may_name_groups,
    resolve_model,
    settings_stamp,
)
from domain_embed.stores.access_record import ACCESS_FILE, AccessRecord
from domain_embed.stores.objects import ObjectMirror
from domain_embed.stores.tables import TableStore
from domain_embed.stores.vectors import FileVectorCache
from domain_embed.training.teacher import require_better_teacher

STORE_FOLDER = ".store"
CHECKPOINT_PREFIX = "checkpoint:"
RERANKER_PREFIX = "reranker:"
SAMPLED_TEXTS = 512
NOTICE_MARK = 'role="note" style="border: 2px solid #b3261e; padding: 0.7em 1em; font-weight: 600"'
LIVE, BASE, CHALLENGER = "live", "base", "challenger"
"""The aliases: what queries use, the base model's collection, and the newest tuned model's."""


@dataclass(frozen=True)
class KeptBase:
    """A decision not to train: why, and the judgments and the base model (its fingerprint) it is about."""

    reason: str
    splits: str
    base: str


@dataclass(frozen=True)
class TrainingDecision:
    """Whether to train, and why; `splits` and `base` are the judgments and the base model's fingerprint it is about."""

    answer: Literal["train", "keep base", "stop"]
    reason: str
    splits: str
    base: str


class Workspace:
    """Opens the stores of one domain. Sources lie in `folder`; everything the product makes, in `root`."""

    def __init__(self, environment: Environment, domain: str) -> None:
        self.environment = environment
        self.domain = domain
        self.folder = environment.domain_folder(domain)
        self.root = environment.home / STORE_FOLDER / "domains" / domain
        self.tables = TableStore(self.root / "tables")
        self.checkpoints = self.root / "checkpoints"
        self.rerankers = self.root / "rerankers"
        self.reports = self.root / "reports"
        self.vectors = self.root / "vectors"
        self.promotions = self.root / "promotions.jsonl"
        self.looks = self.root / "looks.jsonl"
        self.trail = AuditTrail(environment.home / STORE_FOLDER)
        self.access_record = AccessRecord(self.root / ACCESS_FILE, domain, self.trail)
        self.searchers = self.root / "searchers"
        self._quality = self.root / "quality" / "quality.json"
        self._diagnosis = self.root / "diagnosis" / "diagnosis.json"
        self._decision = self.root / "decision" / "decision.json"
        self._saturation = self.root / "saturation" / "saturation.json"
        self._weights = self.root / "weights"
        self._notes = self.root / "notes"
        self._served = self.root / "served" / "served.json"
        self._challenger = self.checkpoints / "challenger.json"
        self.alignments = self.root / "alignments.json"

    @classmethod
    def open(cls, environment: Environment, domain: str) -> "Workspace":
        """A workspace with everything that object storage, if there is one, holds of the domain.

        Raises StoreUnavailableError when the storage does not answer.
        """
        tighten_store(environment.home / STORE_FOLDER)
        workspace = cls(environment, domain)
        workspace.fetch()
        return workspace

    def clear_storage(self) -> int:
        """Removes what object storage, if there is one, holds of the domain; returns the number of objects."""
        return self._mirror.clear() if self._mirror is not None else 0

    def fetch(self) -> None:
        """Brings the workspace up to what object storage, if there is one, holds of the domain.

        Raises StoreUnavailableError when the storage does not answer.
        """
        if self._mirror is not None:
            self._mirror.pull()

    def store(self) -> None:
        """Sends what was made or removed to object storage, if there is one; to be called before others are told.

        Raises StoreUnavailableError when the storage does not answer, and StoreError when another machine was faster.
        """
        if self._mirror is not None:
            self._mirror.push()

    @cached_property
    def _mirror(self) -> ObjectMirror | None:
        url = self.environment.storage
        return ObjectMirror(url.child(self.domain), self.root) if url else None

    @property
    def settings(self) -> DomainSettings:
        """The domain's settings as they are in its file now."""
        return self.environment.settings(self.domain)

    def settings_stamp(self) -> SettingsStamp | None:
        """Changes whenever the domain's file does, and costs one look at the folder; None where there is no file."""
        return settings_stamp(self.folder / SETTINGS_FILE)

    def settings_name_groups(self) -> bool:
        """Whether the domain's file, which cannot be used, may be meant to restrict who sees what."""
        return may_name_groups(self.folder / SETTINGS_FILE)

    def access_rule(self) -> AccessSettings:
        """The rule in force, which domain.yaml gives; to be asked for before passages are shown, sent or built upon.

        Raises AccessError where domain.yaml gives none, though one is known to be in force.
        """
        access, record = self.settings.access, self.access_record
        self.see_rule(access)
        unknown = access.rule is None and record.read() is None
        record.require_present(access.rule, self.vector_store.collections() if unknown else ())
        return access

    def known_access(self) -> AccessSettings:
        """The rule of domain.yaml; where it gives none, the one that is recorded to be in force."""
        access, known = self.settings.access, self.access_record.read()
        self.see_rule(access)
        if access.rule is not None or known is None or known.rule is None:
            return access
        return access.model_copy(update=known.rule.to_json())

    def see_rule(self, access: AccessSettings) -> None:
        """Keeps a rule that domain.yaml has now; the pages that were made before it carry a notice from then on."""
        if self.access_record.see(access.rule):
            for page in self.root.glob("**/*.html"):
                keep_file(page, self._noted(page.read_text(encoding="utf-8")))

    def _noted(self, html: str) -> str:
        """The page with a notice where passages are for some groups only."""
        known = self.access_record.read()
        if known is None or known.rule is None or NOTICE_MARK in html:
            return html
        return html.replace("<main>", f"<main>\n<p {NOTICE_MARK}>{escape(known.rule.notice)}</p>", 1)

    @cached_property
    def vector_store(self) -> VectorStore:
        """A Qdrant server when QDRANT_URL is set, Qdrant Edge on disk otherwise."""
        if self.environment.qdrant_url:
            from domain_embed.stores.qdrant import QdrantStore

            url, key = self.environment.qdrant_url, self.environment.qdrant_api_key
            return QdrantStore.connect(url, key, f"{self.domain}--", grpc_port=self.environment.qdrant_grpc_port)
        from domain_embed.stores.edge import EdgeStore

        return EdgeStore(self.root / "index")

    def vector_cache(self, fingerprint: str) -> FileVectorCache:
        """The vectors one model has made so far."""
        return FileVectorCache(stored_in(self.vectors, fingerprint, "a model"))

    def model_location(self, model: str) -> str:
        """The folder or hub id behind `model.base`, or behind `checkpoint:FINGERPRINT`."""
        if model.startswith(CHECKPOINT_PREFIX):
            return str(stored_in(self.checkpoints, model.removeprefix(CHECKPOINT_PREFIX), "a checkpoint"))
        return resolve_model(model, self.folder)

    def encoder(self, model: str, settings: ModelSettings) -> TorchEncoder:
        """The encoder of a model, by the backend that is best here; loaded once per process."""
        machine = Machine(self.root / "converted", self.environment.backend, self.environment.precision)
        return _load_encoder(self.model_location(model), settings, machine, self.root / "tables")

    def encoder_of(self, info: CollectionInfo) -> TorchEncoder:
        """The encoder a collection was built with."""
        return self.encoder(info.model, ModelSettings(**info.model_settings))

    def save_reranker(self, record: dict[str, Any]) -> None:
        """Makes this the domain's reranker: `model`, `max_tokens`, `fingerprint`, and how it did; no model for none."""
        keep_file(self._reranker_file, json.dumps(record, indent=1))

    def reranker_record(self) -> dict[str, Any]:
        """What the last run said of the reranker. Raises NotReadyError when none has run."""
        return self._read_json(self._reranker_file, "reranker")

    def reranker(self) -> CrossEncoderReranker | None:
        """The domain's reranker, loaded once per process; None when it has none.

        Raises ModelError when its model cannot be loaded, and StoreError when that is another one than it was.
        """
        record = self.reranker_record() if self._reranker_file.exists() else {}
        if not record.get("model"):
            return None
        found = _load_reranker(self.reranker_location(record["model"]), record["max_tokens"])
        if found.fingerprint != record["fingerprint"]:
            raise StoreError(
                f"reranker {record['model']!r} is model {found.fingerprint}, not {record['fingerprint']} as it was",
                f"`domain-embed run {self.domain} --force` takes the new one",
            )
        return found

    def teacher(self) -> Reranker | None:
        """The domain's reranker with a memory on disk: it is asked about each pair once. None when there is none."""
        found = self.reranker()
        return CachedReranker(found, self.vector_cache(f"teacher-{found.fingerprint}")) if found else None

    def proven_teacher(self, objective: str) -> Reranker:
        """The reranker that an objective learns from.

        Raises SettingsError when there is none, and TrainingError when it is not shown to rank better than the base
        model: nothing could be learned from it.
        """
        teacher = self.teacher()
        if teacher is None:
            raise SettingsError(
                f"training.objective: {objective} learns from a reranker, and there is none",
                "set reranker.source to train, or name a finished one there",
            )
        judged = self.reranker_record()["validation"]
        require_better_teacher(judged["reranked"], judged["base"])
        return teacher

    def reranker_location(self, model: str) -> str:
        """The folder or hub id behind `reranker.source`, or behind `reranker:FINGERPRINT`."""
        if model.startswith(RERANKER_PREFIX):
            return str(stored_in(self.rerankers, model.removeprefix(RERANKER_PREFIX), "a reranker"))
        return self.model_location(model)

    @property
    def _reranker_file(self) -> Path:
        return self.rerankers / "current.json"

    def searcher(
        self, collection: str, settings: RetrievalSettings | None = None, reranker: Reranker | None = None, *,
        access: AccessSettings | None = None, groups: Sequence[str] | None = None,
    ) -> Searcher:  # fmt: skip
        """A searcher over a collection, with the encoder it was built with; asked as `retrieval` says by default.

        Where the settings leave the dense weight open, it is the one tuned for this collection, if any. With `access`
        it finds what members of `groups` may find; without, everything: the product's own work needs all passages.
        """
        opened = self.vector_store.open(collection)
        retrieval = settings or self.retrieval(collection)
        if retrieval.dense_weight is None and (tuned := self.tuned_weight(collection)) is not None:
            retrieval = retrieval.model_copy(update={"dense_weight": tuned["dense_weight"]})
        if access is not None:
            self.access_record.require_present(access.rule, [opened.info])
        encoder = self.encoder_of(opened.info)
        require_usable(opened.info, encoder)
        return Searcher(visible_to(opened, access or AccessSettings(), groups), encoder, retrieval, reranker)

    def tuned_weight(self, collection: str) -> dict[str, Any] | None:
        """What was tuned for a collection: `dense_weight`, and `splits`, the version of the table it was tuned on."""
        path = self._weight_file(collection)
        return read_json(path) if path.exists() else None

    def save_tuned_weight(self, collection: str, dense_weight: float, splits: str) -> None:
        """Keeps the dense weight of a collection; searchers opened from now on use it."""
        tuned = {"dense_weight": dense_weight, "splits": splits}
        keep_file(self._weight_file(collection), json.dumps(tuned))

    def retrieval(self, collection: str) -> RetrievalSettings:
        """How a collection is asked: as the settings say or, where they leave that open, as it went live.

        What is not live is asked as was chosen for it on the validation queries. Hybrid, where neither was said.
        """
        settings = self.settings.retrieval
        if settings.mode != "auto":
            return settings
        is_live = self.vector_store.alias(LIVE) == collection
        return settings.served_as(
            PromotionLog(self.promotions).served(collection) if is_live else self.chosen(collection)
        )

    def chosen(self, collection: str) -> Served | None:
        """How a collection would be asked, as was chosen for it on the validation queries; None where nothing was."""
        record = self.choice(collection)
        return None if record is None else Served(**record["served"])

    def choice(self, collection: str) -> dict[str, Any] | None:
        """What was chosen for a collection: `served`, `why`, and in `of` what it depends on."""
        path = self._choice_file(collection)
        return read_json(path) if path.exists() else None

    def save_choice(self, collection: str, served: Served, why: str, of: Mapping[str, Any]) -> None:
        """Keeps how a collection would be asked once it is live. What is live is asked as before."""
        keep_file(self._choice_file(collection), json.dumps({"served": asdict(served), "why": why, "of": dict(of)}))

    def _choice_file(self, collection: str) -> Path:
        return stored_in(self.root / "choices", f"{collection}.json", "a collection")

    def _weight_file(self, collection: str) -> Path:
        return stored_in(self._weights, f"{collection}.json", "a collection")

    def judged(self, split: str) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
        """The queries of a split, text by id, and the grades of their passages. Raises NotReadyError without splits."""
        return graded_queries(self._rows_of(split, ["query_id", "query", "passage_id", "grade"]))

    def filters(self, split: str) -> dict[str, Where]:
        """The metadata filter of each query of a split that has one, by query id."""
        return filters_of(self._rows_of(split, ["query_id", "filters"]))

    def _rows_of(self, split: str, columns: Sequence[str]) -> pa.Table:
        splits = self.tables.read("splits").read(columns=[*columns, "split"])
        return splits.filter(pc.equal(splits["split"], split))

    def aliased(self, alias: str) -> str:
        """The collection behind an alias. Raises NotReadyError when no run has set it."""
        name = self.vector_store.alias(alias)
        if name is None:
            raise NotReadyError(f"domain {self.domain!r} has no {alias} collection yet", "`domain-embed run` makes it")
        return name

    @property
    def newest_checkpoint(self) -> str | None:
        """Fingerprint of the model trained last, whether it serves or not."""
        fingerprint = read_json(self._challenger)["fingerprint"] if self._challenger.exists() else None
        return None if fingerprint is None else str(fingerprint)

    def set_newest_checkpoint(self, fingerprint: str) -> None:
        """Makes this the model trained last, and the one to compare with the base model."""
        keep_file(self._challenger, json.dumps({"fingerprint": fingerprint}))

    @property
    def kept_base(self) -> KeptBase | None:
        """Why the base model was kept and nothing trained, when that was decided last; None otherwise."""
        kept = read_json(self._challenger).get("kept_base") if self._challenger.exists() else None
        return KeptBase(**kept) if kept else None

    def keep_base(self, kept: KeptBase) -> None:
        """Notes that nothing is trained; what the model trained last is stays known."""
        keep_file(self._challenger, json.dumps({"fingerprint": self.newest_checkpoint, "kept_base": asdict(kept)}))

    def checkpoint_record(self, fingerprint: str) -> dict[str, Any] | None:
        """What went into a checkpoint and how its training went; None for a model that was not trained here."""
        path = stored_in(self.checkpoints, fingerprint, "a checkpoint") / RECORD_FILE
        return read_json(path) if path.exists() else None

    def reference(self, fingerprint: str) -> TableStore:
        """What a model knew when it was trained: its tables `passages` and `splits`, to measure drift against."""
        return TableStore(stored_in(self.root / "references", fingerprint, "a model"))

    def references(self) -> list[str]:
        """The models of which it was noted what they knew."""
        return sorted(path.name for path in (self.root / "references").glob("[!.]*") if path.is_dir())

    def save_served(self, summary: dict[str, Any]) -> None:
        """Keeps what was found of the served quality in place of what was there."""
        keep_file(self._served, json.dumps(summary, indent=1))

    def served(self) -> dict[str, Any] | None:
        """What was last found of the served quality; None before the first look."""
        return self._read_json(self._served, "served quality") if self._served.exists() else None

    def save_notes(self, asset: str, notes: Sequence[Note]) -> None:
        """Keeps what a person should know about an asset in place of what was noted before."""
        keep_file(self._notes / f"{asset}.json", json.dumps({"notes": [asdict(note) for note in notes]}, indent=1))

    def notes(self, asset: str) -> tuple[Note, ...]:
        """What was noted when an asset was made; nothing if that was before there were notes."""
        path = self._notes / f"{asset}.json"
        kept = read_json(path)["notes"] if path.exists() else []
        return tuple(Note(note["text"], tuple(note["details"]), note["counts"]) for note in kept)

    def noted(self) -> list[str]:
        """The assets about which something may have been noted."""
        return sorted(path.stem for path in self._notes.glob("*.json"))

    def save_quality(self, summary: dict[str, Any], html: str) -> Path:
        """Keeps the quality report in place of the last one; returns the HTML file."""
        page = self._quality.with_suffix(".html")
        keep_file(page, self._noted(html))
        keep_file(self._quality, json.dumps(summary, indent=1))
        return page

    def quality(self) -> dict[str, Any]:
        """The last quality report's summary; `html` is its page. Raises NotReadyError when there is none."""
        page = str(self._quality.with_suffix(".html"))
        return {**self._read_json(self._quality, "quality report"), "html": page}

    @property
    def has_quality(self) -> bool:
        """Whether there is a quality report."""
        return self._quality.exists()

    def save_diagnosis(self, content: dict[str, Any], html: str) -> Path:
        """Keeps the diagnosis in place of the last one; returns the HTML file."""
        page = self._diagnosis.with_suffix(".html")
        keep_file(page, self._noted(html))
        keep_file(self._diagnosis, json.dumps(content, indent=1))
        return page

    def diagnosis(self) -> dict[str, Any]:
        """The last diagnosis; `html` is its page. Raises NotReadyError when there is none."""
        return {**self._read_json(self._diagnosis, "diagnosis"), "html": str(self._diagnosis.with_suffix(".html"))}

    @property
    def has_diagnosis(self) -> bool:
        """Whether there is a diagnosis."""
        return self._diagnosis.exists()

    def save_training_decision(self, decision: TrainingDecision) -> None:
        """Keeps the decision in place of the last one."""
        keep_file(self._decision, json.dumps(asdict(decision), indent=1))

    def training_decision(self) -> TrainingDecision | None:
        """The last decision whether to train; None when there is none."""
        return TrainingDecision(**read_json(self._decision)) if self._decision.exists() else None

    def save_saturation(self, curve: dict[str, Any]) -> None:
        """Keeps the learning curve in place of the last one; its `splits` names the table it was measured on."""
        keep_file(self._saturation, json.dumps(curve, indent=1))

    def saturation(self) -> dict[str, Any] | None:
        """The learning curve of the current splits; None when none was measured on them."""
        if not self._saturation.exists():
            return None
        curve = read_json(self._saturation)
        return curve if curve["splits"] == self.tables.read("splits").version else None

    def save_report(self, name: str, content: dict[str, Any], html: str) -> Path:
        """Keeps a report under its name and as the latest one; returns the HTML file."""
        folder = stored_in(self.reports, name, "a report")
        page = folder / "report.html"
        keep_file(page, self._noted(html))
        keep_file(folder / "report.json", json.dumps(content, indent=1))
        keep_file(self.reports / "latest.json", json.dumps({**content, "folder": name}, indent=1))
        return page

    def all_reports(self) -> list[dict[str, Any]]:
        """Every report that was kept, oldest first."""
        found = [read_json(path) for path in self.reports.glob("*/report.json")]
        return sorted(found, key=lambda report: str(report["evidence"]["created_at"]))

    @property
    def has_report(self) -> bool:
        """Whether there is a report."""
        return (self.reports / "latest.json").exists()

    def latest_report(self) -> dict[str, Any]:
        """The newest report; `html` is its page. Raises NotReadyError when there is none."""
        report = self._read_json(self.reports / "latest.json", "report")
        # Before there was `folder`, `html` was kept: an absolute path, though the home may have moved.
        folder = report.get("folder") or Path(report["html"]).parent.name
        return {**report, "html": str(stored_in(self.reports, folder, "a report") / "report.html")}

    def report_folder(self, version: str | None = None) -> Path:
        """Where a report keeps its page, scores and runs: the newest one, or that of a version.

        Raises NotReadyError when there is no report, or none of that version.
        """
        if version is None:
            return Path(self.latest_report()["html"]).parent
        known = sorted(path.parent.name for path in self.reports.glob("*/report.json"))
        if version not in known:
            raise NotReadyError(
                f"domain {self.domain!r} has no report {version!r}", f"reports: {', '.join(known) or 'none'}"
            )
        return self.reports / version

    def _read_json(self, path: Path, what: str) -> dict[str, Any]:
        if not path.exists():
            raise NotReadyError(
                f"domain {self.domain!r} has no {what} yet", f"`domain-embed run {self.domain}` makes it"
            )
        return read_json(path)


def stored_domains(environment: Environment) -> list[str]:
    """The domains of which something was made; their own folders may be gone."""
    return sorted(path.name for path in (environment.home / STORE_FOLDER / "domains").glob("[!.]*") if path.is_dir())


@lru_cache(maxsize=3)
def _load_encoder(model: str, settings: ModelSettings, machine: Machine, tables: Path) -> TorchEncoder:
    return load_encoder(model, settings, machine, lambda: _sample_texts(TableStore(tables)))


def _sample_texts(tables: TableStore) -> list[str]:
    """Texts of the current passages, evenly spread; none when there are none yet."""
    try:
        passages = tables.read("passages")
    except NotReadyError:
        return []
    every = max(1, passages.count // SAMPLED_TEXTS)
    rows = (row for batch in passages.batches(16_384, ["title", "text"]) for row in batch.to_pylist())
    return [embedded_text(row["title"], row["text"]) for number, row in enumerate(rows) if number % every == 0]


@lru_cache(maxsize=1)
def _load_reranker(model: str, max_tokens: int) -> CrossEncoderReranker:
    return CrossEncoderReranker.load(model, max_tokens)
