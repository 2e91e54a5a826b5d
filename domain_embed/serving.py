"""Search for applications: what is live in a domain, as one principal may find it."""

import logging
import math
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from domain_embed.contracts.errors import AccessError, CollectionGoneError, NotReadyError, SettingsError
from domain_embed.contracts.filters import Where
from domain_embed.contracts.patience import held, patience
from domain_embed.contracts.records import CollectionInfo, DocumentHit, Hit, Mode, Point
from domain_embed.retrieval.searcher import Filters
from domain_embed.retrieval.searcher import Searcher as BoundSearcher
from domain_embed.settings import AccessSettings, Environment, SettingsStamp
from domain_embed.stores.reloads import Reloads
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

QUERIES_PER_WAIT = 64
"""So many queries of `search_many` go to the store at once, and may wait as long as one."""
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


class _Opened(NamedTuple):
    """Model, collection and rule that belong together, and what domain.yaml was like when they were taken."""

    bound: BoundSearcher
    info: CollectionInfo
    access: AccessSettings
    stamp: SettingsStamp | None


class Searcher:
    """Searches one version of a domain for the members of some groups. Any number of threads may use it at once.

    Query model and collection are taken together when it is opened, and stay together until `reload`: whatever is
    promoted or rolled back meanwhile, vectors of two models never meet, and no search fails of it. Where the collection
    is dropped, the next search reloads. A reload that fails is tried again by itself, after a growing pause.

    The access rule is that of domain.yaml at each search, not at the opening. A search waits for servers, and for its
    turn at the model, no longer than DOMAIN_EMBED_SEARCH_SECONDS says; it raises StoreUnavailableError then.

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
        this = weakref.ref(self)
        self._reloads = Reloads(workspace.searchers, version, lambda: _retry(this()))
        self._opened = self._open()

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
        return self._opened.info.name

    @property
    def fingerprint(self) -> str:
        """The model that answers."""
        return self._opened.info.fingerprint

    @property
    def filterable(self) -> dict[str, str]:
        """The metadata keys that can be filtered on, with their types.

        Raises AccessError under access control: keys and types are of all passages, the hidden ones too.
        """
        opened = self._usable()
        if opened.access.rule is not None:
            raise AccessError(
                "under access control the metadata keys of a collection are not told", "filter by any key"
            )
        return dict(opened.bound.collection.info.metadata_types)

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
        return self._answer(lambda bound: bound.search(query, k, mode=mode, where=where, rerank=rerank))

    def search_many(
        self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None, where: Filters = None,
        rerank: bool | None = None,
    ) -> list[list[Hit]]:  # fmt: skip
        """As `search` for many queries, faster than one by one; `where` is one filter for all, or one for each."""
        return self._answer(
            lambda bound: bound.search_many(queries, k, mode=mode, where=where, rerank=rerank), len(queries)
        )

    def search_documents(
        self, query: str, k: int = 10, *, passages: int = 3, mode: Mode | None = None, where: Where | None = None,
        rerank: bool | None = None,
    ) -> list[DocumentHit]:  # fmt: skip
        """The best k documents, each by its best passage and with at most `passages` of them."""
        return self._answer(
            lambda bound: bound.search_documents(query, k, passages=passages, mode=mode, where=where, rerank=rerank)
        )

    def fetch(self, passage_ids: Sequence[str]) -> list[Point]:
        """The stored passages of those ids that exist and that the groups may find, in the order asked for."""
        return self._answer(lambda bound: bound.collection.fetch(passage_ids))

    def reload(self) -> bool:
        """Takes what is live now: model, collection and the way it is asked, together; True when that has changed.

        Searches that are under way end with what they began with. On an error everything stays as it was; the reload is
        tried again by itself until one succeeds, which `domain-embed status` tells of.
        """
        with held(self._reloading, RELOAD):
            return self._reload()

    def _answer(self, ask: Callable[[BoundSearcher], Answer], queries: int = 1) -> Answer:
        """What is asked, of the collection that is open; of what is live now where that one is gone."""
        seconds = self._workspace.environment.search_seconds * max(1, math.ceil(queries / QUERIES_PER_WAIT))
        with patience(seconds):
            opened = self._usable()
            try:
                return ask(opened.bound)
            except CollectionGoneError as error:
                gone = error
                if self._reloads.pending:
                    raise
        logger.warning("%s; taking what is live now", gone)
        with patience(seconds):
            try:
                self._follow(opened)
            except NotReadyError as error:  # nothing is live
                raise gone from error
            return ask(self._usable().bound)

    def _usable(self) -> _Opened:
        """What may be searched under the rule that domain.yaml has now.

        Raises AccessError where that rule needs to know groups, or is not known.
        """
        opened = self._opened
        if opened.stamp is not None and self._workspace.settings_stamp() == opened.stamp:
            return opened
        with held(self._reloading, RELOAD):
            self._opened = self._under_present_rule(self._opened)
            return self._opened

    def _under_present_rule(self, opened: _Opened) -> _Opened:
        stamp, record = self._workspace.settings_stamp(), self._workspace.access_record
        try:
            access = self._workspace.settings.access
        except (SettingsError, OSError) as error:
            if opened.access.rule is None and not self._workspace.settings_name_groups():
                record.require_present(None, [opened.info])
                return opened._replace(stamp=stamp)  # nothing was restricted, and nothing says that it is to be
            raise AccessError(f"who may see which passage is not known: {error}", "mend domain.yaml") from error
        record.require_present(access.rule, [opened.info])
        if access.rule in (None, opened.access.rule):  # one who saw a part of what is now open goes on with that
            return opened._replace(stamp=stamp)
        try:
            return self._open(opened.info.name)
        except NotReadyError:  # dropped since
            return self._open()

    def _follow(self, opened: _Opened) -> None:
        """Reloads, unless another search has done so since."""
        with held(self._reloading, RELOAD):
            if self._opened is opened:
                self._reload()

    def _reload(self) -> bool:
        before = self._opened
        try:
            self._workspace.fetch()
            self._opened = self._open()
        except Exception as error:
            self._reloads.failed(error)
            raise
        self._reloads.succeeded()
        after = self._opened
        return (before.info.name, before.bound.retrieval) != (after.info.name, after.bound.retrieval)

    def _open(self, collection: str | None = None) -> _Opened:
        """A collection by name, or what is live, under the rule that domain.yaml has now."""
        stamp = self._workspace.settings_stamp()
        settings = self._workspace.settings
        name = collection or aliased(self._workspace, self._version)
        bound = self._workspace.searcher(
            name, None, self._workspace.reranker(), access=settings.access, groups=self._groups
        )
        return _Opened(bound, bound.collection.info, settings.access, stamp)


RELOAD = "the searcher, which is being reloaded,"


def _retry(searcher: Searcher | None) -> None:
    """Another try of one that failed, unless nobody has the searcher any more."""
    if searcher is not None:
        with suppress(Exception):  # told by `Reloads.failed`, which also sees to the next try
            searcher.reload()
