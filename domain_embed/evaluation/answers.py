"""How good the answers are that a language model gives from what was retrieved: measured, with intervals."""

import hashlib
import heapq
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Comparison, Run
from domain_embed.evaluation.containment import Fetch
from domain_embed.evaluation.interview import ScoredAnswer, Speaker, score_answer
from domain_embed.evaluation.significance import bootstrap_interval, compare, holm
from domain_embed.evaluation.squad import normalized_answer
from domain_embed.evaluation.subject import ANSWER_FIGURES, AnswerFigure, AnswerQuality, SystemAnswers
from domain_embed.judgments.answers import AnswerCache
from domain_embed.judgments.endpoint import Address, Endpoint, RateLimit
from domain_embed.judgments.prompt import Template
from domain_embed.settings import AnswerSettings


class MeasuredAnswers(NamedTuple):
    """The figures, and every answer behind them: one row each, with the columns of ScoredAnswer."""

    quality: AnswerQuality
    rows: pd.DataFrame


def measure_answers(
    runs: Mapping[str, Run], challenger: str, queries: Mapping[str, str], references: Mapping[str, Sequence[str]],
    fetch: Fetch, settings: AnswerSettings, folder: Path, cache_file: Path, *,
    resamples: int, seed: int, variables: Mapping[str, str] = os.environ,
) -> MeasuredAnswers:  # fmt: skip
    """Has a model answer queries from each system's first passages, and says how good the answers are.

    The same passages in the same order are answered and judged once, whichever systems found them. What the endpoint
    refuses, or the judge does not say in the form it is asked for, is counted and left out of the means: nothing is
    guessed. A request that was refused is tried again the next time; all else is equal for equal arguments.

    Args:
        runs: Ranked passage ids per query, by system.
        challenger: The system that is compared, query by query, with each of the others.
        queries: Text by id, at least one, of which `settings.queries` are drawn.
        references: Known answers by query id; any of them will do.
        fetch: Texts of those of a few passages that may be sent to a model; the others are counted.
        settings: Whom to ask, and about how much.
        folder: The domain's, in which the prompts of the settings are found.
        cache_file: Keeps what models said, each as soon as it is there: nothing is asked twice.
        resamples: Of each interval and p-value.
        seed: Likewise, and of the draw.
        variables: The environment, for OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL.

    Raises:
        SettingsError: When the endpoint or a prompt cannot be used; it names the variable or setting.
        StoreError: When the cache cannot be written.
    """
    asked = {query_id: queries[query_id] for query_id in draw_queries(queries, settings.queries, seed)}
    prompt, judge_prompt = _prompts(settings, folder)
    model, judge_model = _addresses(settings, variables)
    limit, not_sent = RateLimit(settings.requests_per_minute), set[str]()
    with AnswerCache.open(cache_file) as cache:
        writer = Speaker(model.model, prompt, Endpoint(model, limit), cache)
        judge = Speaker(judge_model.model, judge_prompt, Endpoint(judge_model, limit), cache)
        answers = list(_answers(writer, judge, runs, asked, references, fetch, settings.passages, not_sent))
    table = pd.DataFrame([asdict(one) for one in answers]).astype(dict.fromkeys(ANSWER_FIGURES, "float64"))
    pairs = [(challenger, system) for system in runs if system != challenger]
    quality = AnswerQuality(
        model=model.model,
        judge_model=judge_model.model,
        prompt=prompt.version,
        judge_prompt=judge_prompt.version,
        passages=settings.passages,
        queries=len(asked),
        systems={system: _summary(table[table["system"] == system], resamples, seed) for system in runs},
        differences=_differences(table, pairs, resamples, seed),
        not_sent=len(not_sent),
    )
    return MeasuredAnswers(quality, table)


def draw_queries(queries: Iterable[str], count: int, seed: int) -> list[str]:
    """At most `count` query ids, by the hash of seed and id: a query is drawn or not whatever the others are."""

    def position(query_id: str) -> bytes:
        return hashlib.sha256(f"{seed}\x00{query_id}".encode()).digest()

    return heapq.nsmallest(count, queries, key=position)


def _prompts(settings: AnswerSettings, folder: Path) -> tuple[Template, Template]:
    packaged = resources.files("domain_embed.evaluation") / "prompts"
    shown = {"question": "question", "passages": "text of the passages"}
    judged = shown | {"answer": "answer", "reference": "known answer"}
    return (
        Template.load("answers.prompt", settings.prompt, folder, packaged / "answer_v1.txt", shown),
        Template.load("answers.judge_prompt", settings.judge_prompt, folder, packaged / "judge_v1.txt", judged),
    )


def _addresses(settings: AnswerSettings, variables: Mapping[str, str]) -> tuple[Address, Address]:
    model = Address.read(settings.model, variables, "answers.model")
    if not settings.judge_model:
        return model, model
    return model, Address.read(settings.judge_model, variables, "answers.judge_model")


def _answers(
    writer: Speaker, judge: Speaker, runs: Mapping[str, Run], queries: Mapping[str, str],
    references: Mapping[str, Sequence[str]], fetch: Fetch, passages: int, not_sent: set[str],
) -> Iterator[ScoredAnswer]:  # fmt: skip
    """Every system's answers, query by query; adds the passages without a text to `not_sent`."""
    with progress_bar("answers", len(queries) * len(runs), "answers") as bar:
        for query_id, query in queries.items():
            ranked = {system: run.get(query_id, ())[:passages] for system, run in runs.items()}
            found_ids = {key for keys in ranked.values() for key in keys}
            texts = fetch(sorted(found_ids))
            not_sent |= found_ids - texts.keys()
            # Sorted: in whatever order they were labeled, the judge is asked the same.
            known = sorted({one for one in references.get(query_id, ()) if normalized_answer(one)})
            for system, keys in ranked.items():
                found = [texts[key] for key in keys if key in texts]
                yield score_answer(writer, judge, system, query_id, query, found, known)
                bar.update(1)


def _summary(answers: pd.DataFrame, resamples: int, seed: int) -> SystemAnswers:
    """The means of one system, each over the answers that have the figure."""
    figures = {}
    for name in ANSWER_FIGURES:
        values = answers[name].dropna().to_numpy(np.float64)
        if len(values):
            interval = bootstrap_interval(values, resamples=resamples, seed=seed)
            figures[name] = AnswerFigure(queries=len(values), mean=float(values.mean()), ci95=interval)
    return SystemAnswers(figures=figures, outcomes=answers["outcome"].value_counts().sort_index().to_dict())


def _differences(
    answers: pd.DataFrame, pairs: Sequence[tuple[str, str]], resamples: int, seed: int
) -> tuple[Comparison, ...]:
    """Each pair in each figure, over the queries for which both have it; p corrected for all of them together."""
    found = []
    for name in ANSWER_FIGURES:
        scores = answers.pivot(index="query_id", columns="system", values=name)
        for challenger, baseline in pairs:
            both = scores[[challenger, baseline]].dropna()
            if len(both):
                one = compare(
                    challenger, baseline, name, both[challenger], both[baseline], resamples=resamples, seed=seed
                )
                found.append(one)
    adjusted = holm([one.p for one in found])
    return tuple(replace(one, p_adjusted=p) for one, p in zip(found, adjusted, strict=True))
