"""What leaves a step, a check or a sensor as an error: Dagster keeps all of it, with every error that led to it."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from domain_embed.contracts.secrets import redacted_error

Body = TypeVar("Body", bound=Callable[..., Any])


def redacts_errors(body: Body) -> Body:
    """The same function for Dagster; no error that leaves it, nor one that led to it, holds a secret."""

    @wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _redacted():
            return body(*args, **kwargs)

    @wraps(body)
    def generate(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with _redacted():
            yield from body(*args, **kwargs)

    return generate if inspect.isgeneratorfunction(body) else call  # type: ignore[return-value]


@contextmanager
def _redacted() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        clean = redacted_error(error)
        if clean is error:
            raise
        raise clean from clean.__cause__
