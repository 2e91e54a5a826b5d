"""Suspect labels: how many of deliberately swapped positives the check finds, and how many good ones it accuses.

A share of the demo domain's judgments exchange their passages; the check then sees all of them.
"""

import numpy as np
import pandas as pd

from benchmarks.aws import aws_domain, services_argument
from domain_embed.judgments.quality.checks import severities
from domain_embed.judgments.quality.findings import Findings
from domain_embed.judgments.quality.rankers import Rankers
from domain_embed.judgments.quality.suspects import check_suspects, suspect_depth
from domain_embed.settings import QualitySettings

CORRUPTED_SHARE = 0.15
SEED = 0


def main() -> None:
    """Corrupts, checks and counts."""
    settings = QualitySettings()
    with aws_domain(services_argument(__doc__ or "", "fast")) as domain:
        encoder = domain.encoder()
        rankers = Rankers(domain.collection(encoder, domain.settings.model.base), encoder)
        judgments = corrupted(domain.splits.to_pandas())
        findings = Findings(severities(settings))
        check_suspects(judgments, rankers, settings, findings)
    found = findings.table().select(["query_id", "passage_id"]).to_pandas().drop_duplicates().assign(flagged=True)
    marked = judgments.merge(found, how="left", on=["query_id", "passage_id"])
    depth = suspect_depth(settings, rankers.passages)
    print(f"{len(judgments)} judgments, {rankers.passages} passages, suspect beyond rank {depth} in both rankings")
    for is_corrupted, name in ((True, "swapped"), (False, "good")):
        accused = marked.loc[marked["corrupted"] == is_corrupted, "flagged"].notna()
        print(f"{name:8} {len(accused):6}  flagged {accused.sum():6}  {100 * accused.mean():.1f} %")


def corrupted(judgments: pd.DataFrame) -> pd.DataFrame:
    """The judgments with CORRUPTED_SHARE of their passages exchanged, and a column `corrupted`.

    A judgment that happens to get another true positive of its query does not count as corrupted.
    """
    chosen = np.random.default_rng(SEED).permutation(len(judgments))[: round(CORRUPTED_SHARE * len(judgments))]
    swapped = judgments.reset_index(drop=True)
    swapped.loc[chosen, "passage_id"] = np.roll(swapped.loc[chosen, "passage_id"].to_numpy(), 1)
    true = pd.MultiIndex.from_frame(judgments[["query_id", "passage_id"]])
    still_true = pd.MultiIndex.from_frame(swapped[["query_id", "passage_id"]]).isin(true)
    return swapped.assign(corrupted=~still_true)


if __name__ == "__main__":
    main()
