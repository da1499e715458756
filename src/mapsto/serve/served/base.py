"""The contract of what can be served. `describe` and `answer` must be there; a kind that can read requests
apart from its net brings `read`, `predict` and `decode` too, so that a bad row is found before it joins a
batch and the net sees many requests at once.

`describe`, `read` and `decode` run in the server; `predict`, `write` and `explain` in a worker's process,
which has opened the same folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mapsto.errors import RunError

Row = Mapping[str, Any]  # {column: JSON's value, or a file's bytes}


@dataclass(frozen=True)
class Wish:
    """What a request wants beside the answers. probabilities: of every class; missing_ok: may inputs lack?
    others_ok: may rows name what is no input? An event or a table does, of other requests it is a slip."""

    probabilities: bool = False
    missing_ok: bool = False
    others_ok: bool = False


@dataclass(frozen=True)
class Read:
    """A request's rows, read. payload: what the worker is given; kept: what `decode` needs again; problems:
    {row: why it cannot be read}."""

    rows: int
    payload: Any
    kept: Any = None
    problems: Mapping[int, str] = field(default_factory=dict)


class Served:
    """A folder in use."""

    noun: ClassVar[str] = ""  # what it is called in an error: "a run"
    quick: bool = True  # are rows read in less time than it takes to hand them to a thread?
    threads: int = 1  # of a worker's net

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def is_here(cls, path: Path) -> bool:
        """Does this kind lie in the folder?"""
        return False

    def describe(self) -> dict[str, Any]:
        """{"signature": a line; "inputs": [{"name", "field", "schema"}], what a row may hold; "outputs":
        [{"name", "columns": {field: column of an answer}, "classes"}]; "columns": of an answer; "writes":
        "prose", "talk" or ""; "explains": bool; "metrics": {output: {metric: value}}}."""
        raise TypeError(f"{type(self).__name__} does not describe itself")

    def answer(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """An answer to each row: {column: JSON's value}, "problem" where it could not be read."""
        raise TypeError(f"{type(self).__name__} answers no rows")

    def read(self, rows: Sequence[Row], wish: Wish, most_pixels: int) -> Read:
        """Rows of one request, checked. most_pixels: that a row's file may open to. DataError: none of them
        is what can be answered, as where a column lacks."""
        return Read(len(rows), list(rows))

    def use(self, threads: int) -> None:
        """In a worker, first of all: how many threads the net takes."""

    def warm(self) -> None:
        """In a worker, before its first request: all that is read from the folder, so that it may go away."""

    def predict(self, payloads: Sequence[Any]) -> list[Any]:
        """What `decode` is given for each request."""
        return [self.answer(rows) for rows in payloads]

    def decode(self, read: Read, found: Any, wish: Wish) -> list[dict[str, Any]]:
        """An answer to each row of a request."""
        return found

    def flat(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """An answer as a table holds it, with no list in it."""
        return {
            name: ";".join(map(str, cell)) if isinstance(cell, list) else cell
            for name, cell in answer.items()
        }

    def to_learn(self) -> Any:
        """The run (`mapsto.run.Run`) whose net answers here and may learn on. RunError: it cannot."""
        raise RunError(f"{self.path}: cannot learn on.\nName the run it was made of.")

    def labelled(self, rows: Sequence[Row]) -> tuple[dict[tuple[str, str], Any], dict[int, str]]:
        """Rows with their right answers, encoded; {row: why it cannot be read}, of which none is encoded."""
        raise RunError(f"{self.path}: reads no answers.\nName the run it was made of.")

    def file_of(self, name: str, cell: Any) -> bytes | None:
        """The bytes of a request's cell that is a file. CellError: it is none."""
        return None

    def ending_of(self, name: str) -> str:
        """How such files' names end: ".png"."""
        return ""

    def write(self, asked: Mapping[str, Any]) -> Iterator[str]:
        """Pieces of a text as they are written. asked: "prompt" or "messages", and the options of `Sampling`.
        MapstoError: cannot be done."""
        raise RunError(f"{self.path}: writes nothing.\nSend it rows.")

    def explain(self, row: Row) -> dict[str, Any]:
        """What moved the answer to a row: {"output", "inputs": {column: {"weight"}, {"picture"} or
        {"pieces"}}}. RunError: this kind cannot say it."""
        raise RunError(f"{self.path}: cannot say what it looks at.\nLeave it out.")

    def examples(self, most: int) -> list[dict[str, Any]]:
        """Rows of its own test data, as requests hold them; [] where they may not be shown or are gone."""
        return []
