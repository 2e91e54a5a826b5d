"""What a model knew when it was trained, and what has changed since."""

from functools import lru_cache

from domain_embed.monitoring.policy import Facts, count_new_judgments, share_of_new_passages
from domain_embed.stores.tables import TableStore
from domain_embed.stores.workspace import LIVE, Workspace


def keep_reference(workspace: Workspace, fingerprint: str) -> None:
    """Notes what a model that was just trained knew: the passages there were, and the judgments as they were split."""
    reference = workspace.reference(fingerprint)
    kept = {"passages": ["passage_id", "content_hash"], "splits": ["query", "passage_id", "split"]}
    for name, columns in kept.items():
        reference.write_table(name, workspace.tables.read(name).read(columns))


def retraining_facts(workspace: Workspace) -> Facts | None:
    """What has changed since the newest model was trained; None when none was, or when nobody noted what it knew."""
    fingerprint = workspace.newest_checkpoint
    if fingerprint is None or not workspace.reference(fingerprint).has("splits"):
        return None
    served = workspace.served()
    return Facts(
        fingerprint,
        _new_judgments(*_versions(workspace, fingerprint, "splits")),
        new_passages(workspace, fingerprint) or 0.0,
        served["alarms"] if served and served["collection"] == workspace.vector_store.alias(LIVE) else {},
    )


def new_passages(workspace: Workspace, fingerprint: str) -> float | None:
    """The share of the passages that are new or changed since a model was trained; None when nobody noted them."""
    if not workspace.reference(fingerprint).has("passages"):
        return None
    return _new_passages(*_versions(workspace, fingerprint, "passages"))


def _versions(workspace: Workspace, fingerprint: str, table: str) -> tuple["_Versioned", "_Versioned"]:
    return _Versioned(workspace.tables, table), _Versioned(workspace.reference(fingerprint), table)


class _Versioned:
    """A table that equals another one of the same content: what is counted over it need not be counted again."""

    def __init__(self, store: TableStore, name: str) -> None:
        self.table = store.read(name)

    def __hash__(self) -> int:
        return hash(self.table.version)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Versioned) and self.table.version == other.table.version


@lru_cache(maxsize=64)
def _new_judgments(now: _Versioned, then: _Versioned) -> int:
    columns = ["query", "passage_id"]
    return count_new_judgments(now.table.read(columns), then.table.read(columns))


@lru_cache(maxsize=64)
def _new_passages(now: _Versioned, then: _Versioned) -> float:
    return share_of_new_passages(now.table.read(["content_hash"])["content_hash"],
                                 then.table.read(["content_hash"])["content_hash"])  # fmt: skip
