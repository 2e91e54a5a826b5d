"""Asset body that finds hard negatives."""

from domain_embed.contracts.errors import NotReadyError
from domain_embed.contracts.tables import HARD_NEGATIVES
from domain_embed.defs.collections import bring_up
from domain_embed.defs.work import Produced, Work, record_table, sample_table
from domain_embed.encoding.reranker import CrossEncoderReranker
from domain_embed.mining.hard_negatives import SecondRound, mine_hard_negatives
from domain_embed.mining.queries import training_rows
from domain_embed.mining.report import MiningReport
from domain_embed.stores.workspace import BASE, CHECKPOINT_PREFIX


def hard_negatives(work: Work) -> Produced:
    """For every training query, passages that were judged, or rank high and are unlikely, to be no answers."""
    workspace, settings, report = work.workspace, work.settings.mining, MiningReport()
    collection = workspace.vector_store.open(workspace.aliased(BASE))
    veto = settings.veto and CrossEncoderReranker.load(workspace.model_location(settings.veto))
    batches = mine_hard_negatives(
        training_rows(workspace.tables.read("splits")), collection, workspace.encoder_of(collection.info), settings,
        report, judged=workspace.tables.read("judged_negatives").read(), second_round=_second_round(work),
        veto=veto or None, folder=workspace.root,
    )  # fmt: skip
    table = workspace.tables.write("hard_negatives", batches, HARD_NEGATIVES)
    found_by = [{"found by": name, "negatives": count} for name, count in report.found_by.most_common()]
    return Produced(
        table.version,
        {
            "dagster/row_count": table.count,
            "queries without a hard negative": len(report.without_negative),
            "left out as possible unlabeled positives": report.too_close,
            "left out as nearly a positive's text": report.like_positive,
            "left out by the cross-encoder": report.vetoed,
            "judged negatives used": report.judged,
            "judged negatives not used": report.judged_unused,
            "positives hidden to see whether the rules protect them": report.hidden_positives,
            "found by": record_table(found_by),
            "sample": sample_table(table.head(10)),
        },
        {
            "hard_negatives": table.count,
            "queries_without_hard_negative": len(report.without_negative),
            **report.risk(),
        },
    )


def _second_round(work: Work) -> SecondRound | None:
    """The named checkpoint with a collection of the current passages; only new texts are embedded."""
    workspace, fingerprint = work.workspace, work.settings.mining.checkpoint
    if fingerprint is None:
        return None
    model = CHECKPOINT_PREFIX + fingerprint
    record = workspace.checkpoint_record(fingerprint)
    if record is None:
        known = sorted(path.name for path in workspace.checkpoints.glob("[!.]*/") if path.is_dir())
        raise NotReadyError(
            f"mining.checkpoint: {fingerprint!r} is no checkpoint of this domain",
            f"known: {', '.join(known)}" if known else "train once without the miner `checkpoint`",
        )
    made_with = record["model"]
    built = bring_up(work, model, made_with).info
    return SecondRound(fingerprint, workspace.vector_store.open(built.name), workspace.encoder_of(built))
