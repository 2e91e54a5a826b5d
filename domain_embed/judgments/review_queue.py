"""Judgments in use that a person should look at, beside those that wait undecided."""

import pyarrow as pa

from domain_embed.contracts.tables import UNDECIDED
from domain_embed.judgments.review import SUSPECT_REASON, Decisions

MADE_UP_REASON = "the query was made up for this passage"


def review_queue(findings: pa.Table, judgments: pa.Table, decisions: Decisions) -> pa.Table:
    """Suspect labels and made-up queries without a decision, as an UNDECIDED table.

    Args:
        findings: A FINDINGS table; `suspect_label` is asked about.
        judgments: The JUDGMENTS table it is about.
        decisions: What people have decided.
    """
    suspects = {
        (finding["query_id"], finding["passage_id"]): finding["detail"]
        for finding in findings.to_pylist()
        if finding["check"] == "suspect_label"
    }
    rows = []
    for row in judgments.to_pylist():
        suspicion = suspects.get((row["query_id"], row["passage_id"]))
        if (suspicion or row["train_only"]) and decisions.about(row["query"], row["passage_id"]) is None:
            reason = f"{SUSPECT_REASON} label: {suspicion}" if suspicion else MADE_UP_REASON
            rows.append({**row, "reason": reason})
    return pa.Table.from_pylist(rows, schema=UNDECIDED)
