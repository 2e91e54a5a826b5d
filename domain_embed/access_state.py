"""What is known of a domain's access rule, and the one way to do without it."""

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from domain_embed.contracts.access import AccessRule
from domain_embed.contracts.errors import AccessError, SettingsError, StoreError
from domain_embed.contracts.ports import TableReader
from domain_embed.stores.workspace import Workspace

BATCH_ROWS = 16_384


def open_to_everybody(workspace: Workspace, reason: str) -> None:
    """Records that the domain has no access rule any more.

    Raises SettingsError where domain.yaml has one: it would be in force again at the next look.
    """
    rule = workspace.settings.access.rule
    if rule is not None:
        raise SettingsError(f"domain.yaml has an access rule ({rule})", "remove it there first: access.groups_field")
    workspace.access_record.open(reason)
    workspace.store()


def access_state(workspace: Workspace) -> dict[str, Any]:
    """The rule in force, what domain.yaml and the record say, and each collection's; of passages, who may see how many.

    `passages` counts those that name groups, name none, and say something that is no group, as the rule reads them.
    """
    given = workspace.settings.access
    vanished = None
    try:
        workspace.access_rule()
        workspace.access_record.require_present(given.rule, workspace.vector_store.collections())
    except AccessError as error:
        vanished = str(error)
    recorded = _recorded(workspace)
    collections = {info.name: dict(info.access) or None for info in workspace.vector_store.collections()}
    kept = [one for one in (recorded and recorded["rule"], *collections.values()) if one]
    rule = given.rule or (AccessRule(**kept[0]) if vanished and kept else None)
    return {
        "domain": workspace.domain,
        "rule": rule.to_json() if rule else None,
        "vanished": vanished,
        "language_model_groups": list(given.language_model_groups),
        "recorded": recorded,
        "collections": collections,
        "passages": _counted(workspace.tables.read("passages"), rule)
        if rule and workspace.tables.has("passages")
        else None,
    }


def _recorded(workspace: Workspace) -> dict[str, Any] | None:
    try:
        known = workspace.access_record.read()
    except StoreError as error:
        return {"rule": None, "error": str(error)}
    return asdict(known) if known else None


def _counted(passages: TableReader, rule: AccessRule) -> dict[str, Any]:
    """Of the current passages; `groups` counts those each group may see."""
    kinds, groups = Counter[str](), Counter[str]()
    for batch in passages.batches(BATCH_ROWS, ["metadata"]):
        for metadata in batch.column("metadata").to_pylist():
            named = rule.named_groups(json.loads(metadata))
            kinds["not understood" if named is None else "with groups" if named else "without groups"] += 1
            groups.update(set(named or ()))
    return {
        "with_groups": kinds["with groups"],
        "without_groups": kinds["without groups"],
        "not_understood": kinds["not understood"],
        "groups": dict(groups.most_common()),
    }
