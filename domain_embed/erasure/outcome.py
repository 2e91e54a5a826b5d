"""What an erasure has done, what it could not reach, and what still holds the texts all the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from sqlite3 import Error as DatabaseError

from domain_embed.contracts.errors import DomainEmbedError


@dataclass(frozen=True)
class Unreached:
    """What is not the product's to change, or cannot be changed, and what its owner can do."""

    what: str
    where: str
    how: str


@dataclass
class Outcome:
    """`removed` says place by place what went, or with `dry` what would. Empty `documents` mean the whole domain.

    `failed` and `still_held` are what should have been done: while there is any, the erasure is not finished.
    """

    domain: str
    documents: tuple[str, ...] = ()
    dry: bool = False
    removed: list[str] = field(default_factory=list)
    not_reached: list[Unreached] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    still_held: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether all that can be reached is done."""
        return not self.failed and not self.still_held

    def take(self, step: Callable[[], Iterator[str] | list[str]]) -> None:
        """Does a step; where it fails, that is noted, and the steps after it are done nevertheless."""
        with self.noting():
            self.removed += step()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Notes what fails within."""
        try:
            yield
        except (DomainEmbedError, OSError, DatabaseError) as error:
            self.failed.append(str(error))
