"""The asset that decides whether anything is trained, and how the steps that train read it."""

from collections.abc import Mapping
from typing import Any

from domain_embed.contracts.errors import NotReadyError, TrainingError
from domain_embed.defs.work import Produced, Work, joint_version
from domain_embed.settings import ADAPTERS, DomainSettings
from domain_embed.stores.workspace import BASE, KeptBase, TrainingDecision, Workspace

REPORTS = "quality_report,diagnosis,training_decision"
"""What has to be current before anything is trained, as `run --select` takes it."""


def training_decision(work: Work) -> Produced:
    """Whether to train, to keep the base model, or to stop, as the quality report and the diagnosis say.

    Its version is the decision and the splits and base model it is about, not its reason: what changes a report, and
    not the decision, retrains nothing.
    """
    workspace = work.workspace
    decision = decide_training(workspace.quality(), workspace.diagnosis(), work.settings)
    workspace.save_training_decision(decision)
    return Produced(
        joint_version(decision.answer, decision.splits, decision.base),
        {"decision": decision.answer, "reason": decision.reason, "splits": decision.splits, "base": decision.base},
        {"trains": float(decision.answer == "train")},
    )


def decide_training(
    quality: Mapping[str, Any], diagnosis: Mapping[str, Any], settings: DomainSettings
) -> TrainingDecision:
    """The decision that follows from both reports.

    `stop` where the quality report found an error; `keep base` where the diagnosis shows that fine-tuning is not the
    lever, unless an adapter is trained, which is another lever, or `diagnosis.on_negative` says to continue.

    Raises NotReadyError when the two are about different splits.
    """
    splits, base = diagnosis["splits_version"], diagnosis["base_fingerprint"]
    if quality.get("splits_version") != splits:
        raise NotReadyError(
            "the quality report and the diagnosis are about different splits",
            f"`domain-embed run {diagnosis['domain']} --select {REPORTS}` brings both up to date",
        )
    headline = diagnosis["recommendation"]["headline"]
    if quality["blocking"]:
        return TrainingDecision("stop", f"the quality report stops training. {quality['verdict']}", splits, base)
    if isinstance(settings.training.method, ADAPTERS):
        return TrainingDecision("train", "an adapter is another lever than fine-tuning", splits, base)
    if diagnosis["recommendation"]["fine_tune"] != "no":
        return TrainingDecision("train", f"the diagnosis does not speak against it: {headline}", splits, base)
    if settings.diagnosis.on_negative == "continue":
        return TrainingDecision("train", "diagnosis.on_negative says to continue", splits, base)
    return TrainingDecision("keep base", f"the diagnosis speaks against training: {headline}", splits, base)


def trains_adapter(settings: DomainSettings) -> bool:
    """Whether the training settings have a say in the decision."""
    return isinstance(settings.training.method, ADAPTERS)


def required_decision(workspace: Workspace) -> TrainingDecision:
    """The decision about the present splits and base model.

    Raises NotReadyError where there is none, with the command that makes it: nothing is trained without one. Raises
    TrainingError where it is to stop.
    """
    splits = workspace.tables.read("splits").version
    base = workspace.vector_store.open(workspace.aliased(BASE)).info.fingerprint
    decision = workspace.training_decision()
    command = f"`domain-embed run {workspace.domain} --select {REPORTS}` decides about these"
    if decision is None:
        raise NotReadyError("nobody has decided yet whether to train", command)
    if (decision.splits, decision.base) != (splits, base):
        raise NotReadyError("the training decision is about other splits or another base model", command)
    if decision.answer == "stop":
        raise TrainingError(
            decision.reason,
            f"see `domain-embed quality {workspace.domain}`; quality.severity changes what stops, --force trains",
        )
    return decision


def kept_base(workspace: Workspace) -> KeptBase | None:
    """Why the base model is kept and nothing trained; None where training is to go on.

    Raises as `required_decision` does.
    """
    decision = required_decision(workspace)
    kept = KeptBase(decision.reason, decision.splits, decision.base)
    return kept if decision.answer == "keep base" else None


def was_followed(workspace: Workspace) -> bool:
    """Whether what was made before there was a decision to read is what the decision asks for.

    A model that was trained stays; a base model that was kept stays if it would be kept again.
    """
    kept, decision = workspace.kept_base, workspace.training_decision()
    if kept is None:
        return True
    about = None if decision is None else (decision.answer, decision.splits, decision.base)
    return about == ("keep base", kept.splits, kept.base)
