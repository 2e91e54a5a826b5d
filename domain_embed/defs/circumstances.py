"""What eval_report finds out beside the figures: gates, validation, forgetting, answers, and how the system serves."""

from collections.abc import Container, Mapping, Sequence
from typing import cast

from domain_embed.contracts.records import CollectionInfo, Comparison, Mode, Qrels, Run, embedded_text
from domain_embed.defs.work import Work
from domain_embed.evaluation.answers import MeasuredAnswers, measure_answers
from domain_embed.evaluation.containment import Fetch, measure_containment
from domain_embed.evaluation.measures import HEADLINE, mean_ndcg, ndcg_scores
from domain_embed.evaluation.names import MODELS, mode_of
from domain_embed.evaluation.serving import measure_serving
from domain_embed.evaluation.significance import compare
from domain_embed.evaluation.subject import Circumstances, Containment, Gate, Serving, Sharding, Subject, TestSetLook
from domain_embed.evaluation.systems import run_systems
from domain_embed.evaluation.training_record import TrainingRecord
from domain_embed.indexing.parity import check_parity
from domain_embed.judgments.leakage import measure_leakage
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import AccessSettings, IndexSettings
from domain_embed.stores.workspace import Workspace


def circumstances(
    work: Work, subject: Subject, searchers: Mapping[str, Searcher], runs: Mapping[str, Run],
    queries: Mapping[str, str], qrels: Qrels, answers: MeasuredAnswers | None, look: TestSetLook | None,
) -> Circumstances:  # fmt: skip
    """Everything that was found out and is not a figure of the rankings of the test queries."""
    return Circumstances(
        gates=_gates(work, searchers),
        look=look,
        validation=_validation(work, subject, searchers),
        forgetting=training_record(work.workspace, subject.challenger_fingerprint).measured_forgetting,
        containment=_containment(work, searchers["tuned"], runs, qrels),
        answers=answers.quality if answers else None,
        serving=_serving(work, subject, searchers, list(queries.values())),
        sharding=_sharding(work, subject, searchers, runs, queries, qrels),
    )


def generated_answers(
    work: Work, subject: Subject, searcher: Searcher, runs: Mapping[str, Run], queries: Mapping[str, str],
) -> MeasuredAnswers | None:  # fmt: skip
    """Answers from what each model would serve, and how good they are; None unless the settings ask for them."""
    if work.settings.answers.source == "none" or not queries:
        return None
    served = [subject.as_served(model) for model in MODELS if model in subject.dense_weights]
    settings, access = work.settings.evaluation, work.settings.access
    return measure_answers(
        {system: runs[system] for system in served if system in runs}, subject.as_served("tuned"),
        queries, _sendable_answers(work, searcher, queries), _texts_of(searcher, access), work.settings.answers,
        work.workspace.folder,
        work.workspace.root / "answers.jsonl", resamples=settings.resamples, seed=settings.seed,
    )  # fmt: skip


def with_negatives(workspace: Workspace, qrels: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The judgments with grade 0 for what was judged not relevant: no gain, but known."""
    negatives = workspace.tables.read("judged_negatives").read(["query_id", "passage_id"])
    for query_id, passage_id in zip(*(column.to_pylist() for column in negatives.columns), strict=True):
        if query_id in qrels:
            qrels[query_id].setdefault(passage_id, 0)
    return qrels


def training_record(workspace: Workspace, fingerprint: str) -> TrainingRecord:
    """How the model was trained, as far as its folder says, and the learning curve where it was measured."""
    curve = workspace.saturation() or {}
    return TrainingRecord.of({**(workspace.checkpoint_record(fingerprint) or {}), "points": curve.get("points", ())})


def _gates(work: Work, searchers: Mapping[str, Searcher]) -> tuple[Gate, ...]:
    """Leakage and parity, looked at again: checks may not have run in this run, or not at all."""
    tables = work.workspace.tables
    leakage = measure_leakage(tables.read("splits").read(), None)
    given = work.settings.splits.strategy == "given"
    shared = f"{sum(leakage.queries.values())} queries and {sum(leakage.positives.values())} positives in two splits"
    gates = [Gate(name="leakage", passed=not leakage.spoils(given=given), detail=shared)]
    for name, searcher in searchers.items():
        collection = searcher.collection
        findings = check_parity(collection, tables.read("passages"), work.workspace.encoder_of(collection.info))
        failed = [f"{finding.name}: {finding.detail}" for finding in findings if not finding.passed]
        gates.append(Gate(name=f"parity of {name}", passed=not failed, detail="; ".join(failed)))
    return tuple(gates)


def _validation(work: Work, subject: Subject, searchers: Mapping[str, Searcher]) -> Comparison | None:
    """The headline's comparison on the validation queries; None where there are none."""
    queries, qrels = work.workspace.judged("validation")
    if not queries:
        return None
    compared = {name: searchers[name] for name in ("tuned", "base")}
    variants = dict.fromkeys(subject.variant(name) for name in compared)
    runs = run_systems(compared, queries, list(variants), work.workspace.filters("validation"))
    tuned, base = map(subject.as_served, compared)
    scores = (ndcg_scores(runs[system], qrels) for system in (tuned, base))
    settings = work.settings.evaluation
    return compare(tuned, base, HEADLINE, *scores, resamples=settings.resamples, seed=settings.seed)


def _containment(work: Work, searcher: Searcher, runs: Mapping[str, Run], qrels: Qrels) -> dict[str, Containment]:
    settings = work.settings.evaluation
    return measure_containment(
        runs, _known_answers(work, qrels), qrels, _texts_of(searcher), resamples=settings.resamples, seed=settings.seed
    )


def _known_answers(work: Work, queries: Container[str]) -> dict[str, list[str]]:
    """The texts that labels give as answers to these queries."""
    labels = work.workspace.tables.read("labels").read(["query_id", "answer", "grade"])
    answers: dict[str, list[str]] = {}
    for query_id, answer, grade in zip(*(column.to_pylist() for column in labels.columns), strict=True):
        if answer and grade >= 1 and query_id in queries:
            answers.setdefault(query_id, []).append(answer)
    return answers


def _sendable_answers(work: Work, searcher: Searcher, queries: Container[str]) -> dict[str, list[str]]:
    """The known answers a language model may read: an answer is as confidential as the passages it stands in."""
    answers = _known_answers(work, queries)
    if work.settings.access.rule is None:
        return answers
    positives = work.workspace.judged("test")[1]
    asked = sorted({passage_id for query_id in answers for passage_id in positives.get(query_id, ())})
    sent = _texts_of(searcher, work.settings.access)(asked).keys()
    return {query_id: texts for query_id, texts in answers.items() if positives.get(query_id, {}).keys() <= sent}


def _texts_of(searcher: Searcher, access: AccessSettings | None = None) -> Fetch:
    """Texts of passages; with `access` of those that a language model may read."""

    def fetch(passage_ids: Sequence[str]) -> dict[str, str]:
        points = searcher.collection.fetch(passage_ids)
        return {
            point.passage_id: embedded_text(point.title, point.text)
            for point in points
            if access is None or access.may_be_sent(point.metadata)
        }

    return fetch


def _serving(
    work: Work, subject: Subject, searchers: Mapping[str, Searcher], queries: Sequence[str]
) -> tuple[Serving, ...]:
    """As each model would serve, over queries spread evenly."""
    asked = work.settings.evaluation.latency_queries
    if not asked or not queries:
        return ()
    chosen = queries[:: max(1, len(queries) // asked)][:asked]
    return tuple(_measured(work, subject, name, searchers[name], chosen) for name in searchers)


def _sharding(
    work: Work, subject: Subject, searchers: Mapping[str, Searcher], runs: Mapping[str, Run],
    queries: Mapping[str, str], qrels: Qrels,
) -> tuple[Sharding, ...]:  # fmt: skip
    """BM25 and the way each model would serve, where there is also a collection of one shard to compare with."""
    found: dict[str, Sharding] = {}
    for name, searcher in searchers.items():
        shards, alone = _shards(searcher.collection.info), _of_one_shard(work, searcher.collection.info)
        if alone is None:
            continue
        variants = list(dict.fromkeys(["sparse", mode_of(subject.variant(name))[0]]))
        other = work.workspace.searcher(alone, searcher.retrieval)
        for system, run in run_systems({name: other}, queries, variants, work.workspace.filters("test")).items():
            found[system] = Sharding(
                system=system, shards=shards, ndcg=mean_ndcg(runs[system], qrels), one_shard=mean_ndcg(run, qrels)
            )
    return tuple(found.values())


def _of_one_shard(work: Work, info: CollectionInfo) -> str | None:
    """The collection that has the same in one shard; None where there is none, or where this one has only one."""
    if _shards(info) == 1:
        return None

    def content(one: CollectionInfo) -> tuple[object, ...]:
        return one.fingerprint, one.passages_version, one.sparse_language, one.words_version, one.amended

    infos = work.workspace.vector_store.collections()
    return next((one.name for one in infos if content(one) == content(info) and _shards(one) == 1), None)


def _shards(info: CollectionInfo) -> int:
    return IndexSettings(**info.index).shards


def _measured(work: Work, subject: Subject, model: str, searcher: Searcher, queries: Sequence[str]) -> Serving:
    mode, rerank = mode_of(subject.variant(model))
    # Not the reranker that the systems were run with: that one remembers what it has read.
    reranker = work.workspace.reranker() if rerank else None
    served = work.workspace.searcher(searcher.collection.info.name, work.settings.retrieval, reranker)
    return measure_serving(subject.as_served(model), served, queries, cast(Mode, mode), rerank=rerank)
