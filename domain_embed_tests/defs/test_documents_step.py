"""What the documents step depends on, and what it tells of files it did not read."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg

from domain_embed.defs import data
from domain_embed.defs.graph import RECIPES
from domain_embed.defs.staleness import CODE_VERSION_TAG, DATA_VERSION_TAG, asset_status
from domain_embed.defs.work import Produced, Work
from domain_embed.settings import AccessSettings, CorpusSettings, DomainSettings
from domain_embed.stores.tables import TableStore

DOCUMENTS = next(recipe for recipe in RECIPES if recipe.name == "documents")
OPEN, CLOSED = DomainSettings(), DomainSettings(access=AccessSettings(groups_field="groups"))


def test_access_counts_only_where_documents_belong_to_groups() -> None:
    everybody = DomainSettings(access=AccessSettings(without_groups="everybody"))
    assert DOCUMENTS.code_version(OPEN) == f"r1 corpus:{CorpusSettings().version()}"
    assert DOCUMENTS.code_version(everybody) == DOCUMENTS.code_version(OPEN)
    assert DOCUMENTS.code_version(CLOSED) == f"{DOCUMENTS.code_version(OPEN)} access:{CLOSED.access.version()}"


def test_documents_are_stale_when_access_control_comes_and_when_it_goes() -> None:
    for before, after in ((OPEN, CLOSED), (CLOSED, OPEN)):
        tags = {CODE_VERSION_TAG: DOCUMENTS.code_version(before), DATA_VERSION_TAG: "v"}
        spec = dg.AssetSpec(["a", "documents"], code_version=DOCUMENTS.code_version(after))
        status = asset_status(spec, dg.AssetMaterialization(spec.key, tags=tags), {}, after)
        assert (status.state, status.causes) == ("stale", ("access: settings changed",))


def step(folder: Path, **corpus: Any) -> Produced:
    """The documents step over a folder, which belongs to groups."""
    settings = DomainSettings(corpus=CorpusSettings(paths=("docs",), **corpus), access=CLOSED.access)
    workspace = SimpleNamespace(folder=folder, tables=TableStore(folder / "tables"))
    return data.documents(cast(Work, SimpleNamespace(workspace=workspace, settings=settings)))


def records(produced: Produced, name: str) -> list[dict[str, Any]]:
    """The rows of a table that the step shows."""
    table = cast(dg.TableMetadataValue, produced.metadata[name])
    return [dict(record.data) for record in table.records]


def test_what_is_skipped_stopped_and_hidden_is_counted_and_named(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "good.md").write_text("A good text.", encoding="utf-8")
    (docs / "evil.md").symlink_to("/proc/self/environ")
    (docs / "slow.html").write_text("<!--" * 250_000, encoding="utf-8")
    (docs / "faq.csv").write_text("id,text,groups\n1,a,['hr']\n", encoding="utf-8")
    produced = step(tmp_path, metadata_fields=("groups",), read_seconds=3.0)
    assert produced.metrics == {"documents": 2, "left_out": 2, "erased": 0, "hidden": 1}
    assert produced.metadata["left out, by reason"] == "1 × file of the system, 1 × stopped while it was read"
    assert [row["where"].partition(": ")[0] for row in records(produced, "left out")] == [
        f"{docs}/evil.md", f"{docs}/slow.html",
    ]  # fmt: skip
    [hidden] = records(produced, "hidden from everybody, because their groups cannot be read")
    assert hidden["where"].startswith(f"{docs}/faq.csv, line 2: document '1'")
