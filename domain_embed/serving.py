"""Search for applications: what is live in a domain, as one principal may find it."""

import threading
from collections.abc import Sequence
from pathlib import Path

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.filters import Where
from domain_embed.contracts.records import DocumentHit, Hit, Mode, Point
from domain_embed.retrieval.searcher import Filters
from domain_embed.retrieval.searcher import Searcher as BoundSearcher
from domain_embed.settings import Environment
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

VERSIONS = {"champion": LIVE, "challenger": CHALLENGER, "base": BASE}


def aliased(workspace: Workspace, version: str) -> str:
    """The collection of a version.

    Raises SettingsError for a version there is none of, and NotReadyError when no run has made it.
    """
    _require_version(version)
    return workspace.aliased(VERSIONS[version])


def _require_version(version: str) -> None:
    if version not in VERSIONS:
        raise SettingsError(f"version {version!r} is not one of {', '.join(VERSIONS)}")


class Searcher:
    """Searches one version of a domain for the members of some groups. Any number of threads may use it at once.

    Query model and collection are taken together when it is opened, and stay together until `reload`: whatever is
    promoted, rolled back or dropped meanwhile, vectors of two models never meet, and no search fails of it.

        >>> searcher = Searcher.open("aws")  # doctest: +SKIP
        >>> searcher.search("give a user permission to read a bucket", 3)[0].title  # doctest: +SKIP
    """

    def __init__(self, workspace: Workspace, version: str, groups: Sequence[str] | None) -> None:
        """`open` is the way for applications."""
        _require_version(version)
        self._workspace = workspace
        self._version = version
        self._groups = groups if groups is None or isinstance(groups, str) else tuple(groups)
        self._reloading = threading.Lock()
        self._bound = self._open()

    @classmethod
    def open(
        cls, domain: str, *, groups: Sequence[str] | None = None, version: str = "champion",
        home: str | Path | None = None,
    ) -> "Searcher":  # fmt: skip
        """A searcher over what is live in a domain.

        Args:
            domain: Its name.
            groups: Those of the principal who asks. Needed where the domain declares `access.groups_field`; only
                passages of these groups are found then, whatever else is asked.
            version: champion (what is live), challenger or base.
            home: Where the domains are; DOMAIN_EMBED_HOME by default.

        Raises:
            AccessError: The domain has access control, and no groups are given.
            NotReadyError: Nothing is live yet.
            SettingsError: There is no such domain, or groups are given where it has no access control.
            StoreError: The collection cannot be used with its model, or cannot be read.
        """
        environment = Environment.read()
        if home is not None:
            environment = environment.model_copy(update={"home": Path(home).expanduser().resolve()})
        environment.settings(domain)
        return cls(Workspace.open(environment, domain), version, groups)

    @property
    def collection(self) -> str:
        """The name of the collection that is searched."""
        return self._bound.collection.info.name

    @property
    def fingerprint(self) -> str:
        """The model that answers."""
        return self._bound.collection.info.fingerprint

    @property
    def filterable(self) -> dict[str, str]:
        """The metadata keys that can be filtered on, with their types."""
        return dict(self._bound.collection.info.metadata_types)

    def search(
        self, query: str, k: int = 10, *, mode: Mode | None = None, where: Where | None = None,
        rerank: bool | None = None,
    ) -> list[Hit]:  # fmt: skip
        """The best k passages, best first, as the domain's `retrieval:` says unless told otherwise.

        Args:
            query: What is looked for.
            k: At most so many passages.
            mode: dense, sparse, hybrid or weighted.
            where: On metadata; see `domain_embed.contracts.filters`. It narrows what the groups may find.
            rerank: Whether the reranker has the last word.
        """
        return self._bound.search(query, k, mode=mode, where=where, rerank=rerank)

    def search_many(
        self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None, where: Filters = None,
        rerank: bool | None = None,
    ) -> list[list[Hit]]:  # fmt: skip
        """As `search` for many queries, faster than one by one; `where` is one filter for all, or one for each."""
        return self._bound.search_many(queries, k, mode=mode, where=where, rerank=rerank)

    def search_documents(
        self, query: str, k: int = 10, *, passages: int = 3, mode: Mode | None = None, where: Where | None = None,
        rerank: bool | None = None,
    ) -> list[DocumentHit]:  # fmt: skip
        """The best k documents, each by its best passage and with at most `passages` of them."""
        return self._bound.search_documents(query, k, passages=passages, mode=mode, where=where, rerank=rerank)

    def fetch(self, passage_ids: Sequence[str]) -> list[Point]:
        """The stored passages of those ids that exist and that the groups may find, in the order asked for."""
        return self._bound.collection.fetch(passage_ids)

    def reload(self) -> bool:
        """Takes what is live now, model and collection together; True when that is another collection than before.

        Searches that are under way end with what they began with. On an error everything stays as it was.
        """
        with self._reloading:
            self._workspace.fetch()
            before, self._bound = self._bound, self._open()
        return before.collection.info.name != self._bound.collection.info.name

    def _open(self) -> BoundSearcher:
        settings = self._workspace.settings
        name = aliased(self._workspace, self._version)
        reranker = self._workspace.reranker()
        return self._workspace.searcher(name, settings.retrieval, reranker, access=settings.access, groups=self._groups)
