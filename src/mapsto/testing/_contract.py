"""A broken contract is said in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mapsto.errors import failure

ERRORS = (TypeError, AttributeError, RuntimeError, ValueError, KeyError, IndexError, NotImplementedError)


@contextmanager
def contract(what: str) -> Iterator[None]:
    """AssertionError for whatever somebody's code raises within: what was asked of it, what it raised, and
    where."""
    try:
        yield
    except ERRORS as problem:
        raise AssertionError(f"{what}: {failure(problem)}") from problem
