"""Sources: rows from wherever they are, handed on in chunks of raw cells, so that no set needs to fit into
memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from mapsto.signature import Signature

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "tr": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "te": "test",
    "eval": "test",
    "t10k": "test",
}


@dataclass(frozen=True)
class BadRow:
    """A row that could not even be divided into cells. where: 'line 17' or a file; why: what was expected and
    what came; slight: listed, but not among the rows of which too many end a training, as an empty document,
    with which nothing is lost."""

    where: str
    why: str
    slight: bool = False


@dataclass(frozen=True)
class Chunk:
    """Consecutive readable rows. columns: {name: raw cells}, equally long. where[i]: what a person would call
    row i ('line 17', 'roses/03.jpg'). split[i]: "train", "validation", "test", or None where the data does
    not say. bad: what was passed over.
    """

    columns: Mapping[str, Sequence[Any]]
    where: Sequence[str]
    split: Sequence[str | None]
    bad: Sequence[BadRow] = ()

    def __len__(self) -> int:
        return len(self.where)


@dataclass
class Prepared:
    """What a training learns from, before a model is chosen. signature: every slot with its type; types:
    fitted, by (side, slot); batches: what a learner is given (`learners.base.Batches`); said: what was
    inferred; rows: training rows, None where nobody knows how many; folder: where encoded rows lie, None
    where there are none."""

    signature: Signature
    types: Mapping[tuple[str, str], Any]
    batches: Any
    said: list[str]
    rows: int | None = None
    folder: Path | None = None


@dataclass
class Source:
    """Rows. One class a kind of data; `chunks` may be called any number of times and always gives the same
    rows in the same order.

    name: what a person would call it, fit for a folder's name. locations: absolute paths it was opened from,
    () for data in memory. fingerprint: changes when the data does (contents, or name, size and time of every
    file). columns: in order, without the split column. guess: the signature the layout suggests ('image ->
    category'), or None. said: what was found or decided while opening, one sentence each ('cp1252 text, ";"
    between cells, decimal comma'). divided: the rows say their split, at least some of them. made: columns
    put together from others, which "*" does not stand for. read_from: every path that was opened for it,
    the test rows' too. untyped: all cells are text, for the format knows nothing else.
    """

    name: str
    columns: tuple[str, ...]
    fingerprint: str
    locations: tuple[str, ...] = ()
    guess: str | None = None
    said: list[str] = field(default_factory=list)
    divided: bool = False
    made: tuple[str, ...] = ()
    read_from: tuple[str, ...] = ()
    untyped: bool = False

    kind: ClassVar[str] = "rows"  # or "stream", "environment": what has no rows that could be counted

    def prepare(self, asked: str | None, settings: Any, rows: Callable[[Source], Prepared]) -> Prepared:
        """What a training learns from. rows: how it is done for sources of rows, which are scanned, divided
        and encoded; others do theirs. asked: the signature as it was written; settings: of
        `config.Settings`."""
        return rows(self)

    def batches(
        self, signature: Signature, types: Mapping[tuple[str, str], Any], store: Any, settings: Any
    ) -> Any:
        """The same batches again, for a training that goes on. store: the encoded rows, where there are
        any."""
        return store

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        """All rows, `size` or fewer at a time."""
        raise TypeError(f"{type(self).__name__} gives no rows")

    def lines(self) -> Source:
        """The same as a table, where it was taken for a text that goes on: each line a row."""
        return self

    def running(self) -> Source:
        """The other way round: the same as a text that goes on, where a file that may be one was taken for a
        table."""
        return self

    def tested_elsewhere(self) -> Source:
        """The same without test rows of its own making: others will be the test."""
        return self


def split_name(text: Any) -> str | None:
    """'val', 'Valid', 'dev' -> 'validation'; None when it is no name of a split."""
    return SPLIT_NAMES.get(str(text).strip().lower())


def table_of(source: Source) -> dict[str, list[Any]]:
    """All cells in memory, column by column: for small tables such as metadata and for tests."""
    gathered: dict[str, list[Any]] = {name: [] for name in source.columns}
    for chunk in source.chunks():
        for name in source.columns:
            gathered[name].extend(chunk.columns[name])
    return gathered


@runtime_checkable
class Environment(Protocol):
    """As gymnasium's `Env`, which is one and is not needed."""

    observation_space: Any
    action_space: Any

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """(first observation, what else is known)."""
        ...

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """(observation, reward, is the episode over, was it cut off, what else is known)."""
        ...
