"""A model as a folder for others: sentence-transformers' format, on request OpenVINO's beside it, and a model card."""

import json
import shutil
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from domain_embed.contracts.errors import SettingsError, StoreError
from domain_embed.contracts.shown import code_span, fenced, markdown_text
from domain_embed.encoding import openvino
from domain_embed.encoding.models import fingerprint, load_model
from domain_embed.files import RECORD_FILE, follow_umask, private_umask
from domain_embed.settings import ModelSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODEL_MARK = "modules.json"
"""What every sentence-transformers folder holds; only such a folder is ever replaced."""


@dataclass(frozen=True)
class Provenance:
    """What is known of a model. Of an untouched base model `record` is empty; a model nobody evaluated has no report.

    Attributes:
        domain: The domain it is for.
        version: What it was exported as: champion, challenger or base.
        fingerprint: Its identity.
        record: The checkpoint's own record of its making.
        pairs: Training pairs and held-out pairs per split, as they were then.
        sources: Judgments per source; empty where they have changed since.
        report: The evaluation of this model.
        notice: Who may have it, where its domain's passages are for some groups only.
    """

    domain: str
    version: str
    fingerprint: str
    record: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None
    notice: str = ""


def export_model(
    source: str, settings: ModelSettings, target: Path, about: Provenance, *, with_openvino: bool = False,
    force: bool = False,
) -> None:  # fmt: skip
    """Writes the model to `target`; the folder appears complete, or stays as it was.

    Args:
        source: Folder or hub id.
        settings: How texts are put to it; its prompts, length limit and dimensions are written into the folder.
        target: Is made; if it holds anything, only `force` replaces it, and only where that is a model.
        about: What its card says; with a notice in it, the folder is its owner's alone.
        with_openvino: Also write `openvino/openvino_model.xml`.
        force: Replace an earlier export.

    Raises:
        SettingsError: The target can be no folder or is not empty, or OpenVINO is not installed.
        ModelError: The model cannot be loaded or converted.
        StoreError: The source is another model than it was, or the target cannot be written.
    """
    if with_openvino:
        openvino.require_openvino("--openvino")
    target = _resolved(target)
    _require_free(target, force=force)
    model = load_model(source, settings)
    if fingerprint(model, settings) != about.fingerprint:
        raise StoreError(f"{source} is not model {about.fingerprint} any more", "train it again, or restore its files")
    model.truncate_dim = settings.dimensions
    draft = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    with private_umask() if about.notice else nullcontext():
        _write(model, settings, draft, target, about, with_openvino=with_openvino)


def _write(
    model: "SentenceTransformer", settings: ModelSettings, draft: Path, target: Path, about: Provenance, *,
    with_openvino: bool,
) -> None:  # fmt: skip
    try:
        draft.mkdir(parents=True)
        model.save_pretrained(str(draft), create_model_card=False)
        (draft / "README.md").write_text(model_card(about, settings), encoding="utf-8")
        if about.record:
            (draft / RECORD_FILE).write_text(json.dumps(about.record, indent=1), encoding="utf-8")
        if with_openvino:
            (draft / "openvino").mkdir()
            openvino.write_ir(openvino.convert(model.float().cpu()), draft / "openvino" / "openvino_model.xml")
        follow_umask(draft)
        _put_in_place(draft, target)
    except (OSError, RuntimeError) as error:
        raise StoreError(f"{target} cannot be written: {error}", "free space or fix permissions") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def model_card(about: Provenance, settings: ModelSettings) -> str:
    """README.md of the folder: what the model was trained on, how it did, what it cannot do."""
    tuned = bool(about.record)
    front = {"library_name": "sentence-transformers", "pipeline_tag": "sentence-similarity"}
    kind = "fine-tuned for" if tuned else "used untouched in"
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# Embedding model {kind} the domain {about.domain}",
        *([f"> **{about.notice}**"] if about.notice else []),
        f"Exported as {about.version}; model fingerprint `{about.fingerprint}`. "
        f"Base model: {code_span(settings.base)}.",
        _usage(),
        *(_training(about) if tuned else []),
        *_evaluation(about),
        *_limits(about, settings),
    ]
    return "\n\n".join(sections) + "\n"


def _usage() -> str:
    return """```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/of/this/folder")
queries = model.encode_query(["..."], normalize_embeddings=True)
passages = model.encode_document(["title and text of a passage"], normalize_embeddings=True)
```"""


def _training(about: Provenance) -> list[str]:
    record = about.record
    counts = [f"- {count:,} judged pairs in the {split} part" for split, count in sorted(about.pairs.items())]
    sources = [
        f"- of all judgments, {count:,} from {code_span(source)}" for source, count in sorted(about.sources.items())
    ]
    data = {key: record[key] for key in ("base", "splits", "hard_negatives", "probes") if key in record}
    return [
        "## Trained on",
        "\n".join([*counts, *sources]) or "The counts were not kept.",
        _block("Versions of data and base model", data),
        _block("Settings of the model", record.get("model", {})),
        _block("Settings of the training", record.get("training", {})),
        _block("Packages", record.get("packages", {})),
    ]


def _evaluation(about: Provenance) -> list[str]:
    if about.report is None:
        return ["## How it did", "There is no evaluation of this model."]
    evidence, verdict = about.report["evidence"], about.report["verdict"]
    queries = evidence["queries_per_split"].get("test", 0)
    rows = [f"| {name} | {_figure(name, evidence)} |" for name in evidence["systems"]]
    compared = [
        f"- {one['challenger']} against {one['baseline']}: {one['delta']:+.4f} "
        f"({one['ci95'][0]:+.4f} to {one['ci95'][1]:+.4f}), better on {one['wins']}, worse on {one['losses']} queries"
        for one in evidence["comparisons"]
    ]
    return [
        "## How it did",
        f"On {queries:,} held-out queries against {evidence['passages']:,} passages, through the vector store; nDCG@10 "
        "with 95 % intervals. `tuned` is the model that was trained, `base` the untouched one.",
        "\n".join(["| system | nDCG@10 |", "|---|---|", *rows]),
        "\n".join(compared),
        "\n".join(
            [
                f"Verdict: {'promote' if verdict['promote'] else 'do not promote'}.",
                *map(markdown_text, verdict["reasons"]),
            ]
        ),
    ]


def _figure(name: str, evidence: Mapping[str, Any]) -> str:
    figure = f"{evidence['systems'][name]['nDCG@10']:.4f}"
    interval = evidence.get("intervals", {}).get(name)
    return f"{figure} ({interval[0]:.4f} to {interval[1]:.4f})" if interval else figure


def _limits(about: Provenance, settings: ModelSettings) -> list[str]:
    limits = [
        "- The figures hold for queries like the judged ones and passages like this domain's, and for nothing else.",
        "- Its vectors must not be compared with those of another model: passages have to be embedded by this one.",
    ]
    if settings.max_tokens is not None:
        limits.append(f"- Of a text it sees {settings.max_tokens} tokens.")
    if settings.query_prompt or settings.document_prompt:
        limits.append("- Queries and passages need their prompts: `encode_query` and `encode_document` put them.")
    if settings.passage_precision == "int8":
        limits.append("- The figures are of passages embedded in int8; this folder holds the weights they came from.")
    limits.append(f"- {_forgetting(about.record)}")
    return ["## Limits", "\n".join(limits)]


def _forgetting(record: Mapping[str, Any]) -> str:
    before, after = (record.get("forgetting", {}).get(name, {}) for name in ("base", "tuned"))
    if not before:
        return "What it may have forgotten of other subjects was not measured."
    told = [f"{name} {before[name]:.4f} before and {after[name]:.4f} after" for name in sorted(before)]
    return f"On other subjects, nDCG@10: {', '.join(told)}."


def _block(title: str, content: Mapping[str, Any]) -> str:
    return f"{title}:\n\n{fenced(yaml.safe_dump(dict(content), sort_keys=False).rstrip(), 'yaml')}"


def _resolved(target: Path) -> Path:
    try:
        return target.expanduser().resolve()
    except (RuntimeError, ValueError) as error:  # the home of nobody, a null byte
        raise SettingsError(f"{str(target)[:80]!r} can be no folder: {error}", "name another one") from None


def _require_free(target: Path, *, force: bool) -> None:
    if target.is_file():
        raise SettingsError(f"{target} is a file", "name a folder")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not force:
        raise SettingsError(f"{target} is not empty", "name another folder, or replace the model there with --force")
    if not (target / MODEL_MARK).exists():
        raise SettingsError(f"{target} holds something that is no model, and is not replaced", "name another folder")


def _put_in_place(draft: Path, target: Path) -> None:
    """What was there goes only when the new folder is complete beside it."""
    before = target.with_name(f".{target.name}-before-{uuid.uuid4().hex}")
    replaced = target.exists()
    if replaced:
        target.replace(before)
    draft.replace(target)
    if replaced:
        shutil.rmtree(before)
