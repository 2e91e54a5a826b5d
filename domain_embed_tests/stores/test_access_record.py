"""The recorded access rule: written when one is seen, missed when it is gone, given up by its owner alone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from domain_embed.audit import AuditTrail
from domain_embed.contracts.access import AccessRule
from domain_embed.contracts.errors import AccessError, StoreError
from domain_embed.stores.access_record import AccessRecord
from domain_embed.stores.points import info_from_json, info_to_json
from domain_embed_tests.stores.samples import info

RULE = AccessRule("groups")
OTHER = AccessRule("acl.groups", "everybody")
AGES = {"old": "2020-01-01T00:00:00+00:00", "new": "2999-01-01T00:00:00+00:00"}


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    return AuditTrail(tmp_path / ".store")


@pytest.fixture
def record(tmp_path: Path, trail: AuditTrail) -> AccessRecord:
    return AccessRecord(tmp_path / "domain" / "access.json", "hr", trail)


def test_a_rule_is_kept_once_with_a_line_for_each_change(record: AccessRecord, trail: AuditTrail) -> None:
    assert record.read() is None
    assert [record.see(rule) for rule in (None, RULE, RULE, OTHER, None)] == [False, True, False, True, False]
    known = record.read()
    assert known is not None
    assert (known.rule, "@" in known.by) == (OTHER, True)
    assert [(line.source, line.target) for line in trail.read("hr")] == [
        ("unknown", str(RULE)),
        (str(RULE), str(OTHER)),
    ]


def test_a_recorded_rule_that_is_not_given_is_missed_until_the_owner_opens_the_domain(
    record: AccessRecord, trail: AuditTrail
) -> None:
    record.require_present(None, [])
    record.see(RULE)
    record.require_present(OTHER, [])
    with pytest.raises(
        AccessError, match=r"'groups', without_groups nobody; recorded .* no longer in its domain\.yaml"
    ):
        record.require_present(None, [])
    record.open("the lawyers agree")
    record.require_present(None, [])
    assert [line.reason for line in trail.read("hr")] == ["seen in domain.yaml", "the lawyers agree"]


def test_a_collections_rule_counts_unless_the_domain_was_opened_after_it_was_built(record: AccessRecord) -> None:
    old, new = (replace(info(), name=name, built_at=at, access=OTHER.to_json()) for name, at in AGES.items())
    for one in (old, new):
        with pytest.raises(AccessError, match=f"kept in collection {one.name}"):
            record.require_present(None, [one])
    record.open("")
    record.require_present(None, [old, info()])
    with pytest.raises(AccessError, match="kept in collection new"):
        record.require_present(None, [old, new])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rule": {"groups": 1}, "at": "", "by": ""}', '{"rule": 5}'])
def test_a_damaged_record_closes_the_domain_and_is_written_anew(
    record: AccessRecord, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "domain" / "access.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(StoreError, match=r"access\.json"):
        record.require_present(None, [])
    assert record.see(RULE)
    assert json.loads(path.read_text())["rule"] == RULE.to_json()


def test_what_was_known_to_have_no_rule_is_not_asked_again(record: AccessRecord) -> None:
    record.know(None)
    known = record.read()
    assert known is not None
    assert known.rule is None
    record.see(RULE)
    record.know(None)
    known = record.read()
    assert known is not None
    assert known.rule == RULE


def test_a_collection_keeps_its_rule_and_an_old_one_has_none() -> None:
    kept = replace(info(), access=RULE.to_json())
    assert info_from_json(json.loads(json.dumps(info_to_json(kept))), "here") == kept
    old = info_to_json(info())
    del old["access"]
    assert info_from_json(old, "here").access == {}
