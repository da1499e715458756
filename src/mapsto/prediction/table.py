"""Answers as a table: which columns it has, how they are called, and what stands in their cells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from mapsto.errors import ConfigError, did_you_mean
from mapsto.prediction import FIELDS, Answer

BOOKS = ("row", "unsure", "note", "problem")  # columns that are no answers
_COUNTED = re.compile(r"(?:.* )?(?:line|row|item) [\d,]+")  # places that files count, each in its own way


@dataclass(frozen=True)
class Table:
    """The columns of answers, each once. kept: {column of the data: column}; answers: {(output, field):
    column}; classes: {(output, class): column of its probability}; books: those of BOOKS that are
    written."""

    kept: Mapping[str, str]
    answers: Mapping[tuple[str, str], str]
    classes: Mapping[tuple[str, Any], str]
    books: tuple[str, ...]

    @classmethod
    def of(
        cls,
        outputs: Mapping[str, Sequence[str]],
        classes: Mapping[str, Sequence[Any]] | None = None,
        kept: Sequence[str] = (),
        only: Sequence[str] = (),
    ) -> Self:
        """outputs: {output: its fields}; classes: {output: its classes} whose probabilities are wanted; kept:
        columns of the data that go with the answers; only: the fields, columns of answers, and of BOOKS, that
        are written, () for all. What goes beside answers gives way where it is called like them. ConfigError:
        no such field."""
        every = columns(outputs)
        known = dict.fromkeys([*(field for _, field in every), *BOOKS, *every.values()])
        for name in only:
            if name not in known:
                raise ConfigError(f"'{name}' is nothing that answers hold.\n{did_you_mean(name, known)}")
        named = {spot: name for spot, name in every.items() if not only or {spot[1], name} & {*only}}
        books = tuple(name for name in BOOKS if not only or name in only)
        taken = {name.casefold() for name in (*named.values(), *books)}
        beside = {
            (output, one): _free(f"{output}.{one}", taken)
            for output, each in (classes or {}).items()
            for one in each
        }
        return cls({name: _free(name, taken, "data.") for name in kept}, named, beside, books)

    def row(self, answer: Answer, number: int) -> dict[str, Any]:
        """A row's cells by column, values as they are. number: of the row, counted from 0."""
        cells: dict[str, Any] = {column: answer.kept.get(name) for name, column in self.kept.items()}
        if "row" in self.books:
            cells["row"] = place(answer.where, number) if answer.counted else answer.where
        for (output, field), column in self.answers.items():
            found = answer.predictions.get(output)
            cells[column] = found.field(field) if found else None
        for (output, one), column in self.classes.items():
            found = answer.predictions.get(output)
            cells[column] = found.detail["probabilities"][one] if found else None
        return cells | {name: _BOOKED[name](answer) for name in self.books if name != "row"}

    def flat(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row as files hold it, with no list in it: labels stand behind semicolons, what else is several as
        JSON, what JSON does not know as text."""
        found = dict(row)
        for (_, field), column in self.answers.items():
            value = found[column]
            if isinstance(value, (list, tuple, dict)):
                simple = field in FIELDS and not any(isinstance(item, (list, tuple, dict)) for item in value)
                found[column] = ";".join(map(str, value)) if simple else json.dumps(value, ensure_ascii=False)
        for column in self.kept.values():
            if isinstance(found[column], (list, tuple, dict)):
                found[column] = json.dumps(found[column], ensure_ascii=False, default=str)
            elif not isinstance(found[column], (str, bool, int, float, type(None))):
                found[column] = str(found[column])
        return found

    @property
    def columns(self) -> list[str]:
        """All of them, in their order."""
        row = ["row"] if "row" in self.books else []
        after = [name for name in self.books if name != "row"]
        return [*self.kept.values(), *row, *self.answers.values(), *self.classes.values(), *after]


_BOOKED = {
    "unsure": lambda answer: next((found.unsure for found in answer.predictions.values()), None),
    "note": lambda answer: answer.note,
    "problem": lambda answer: " ".join(answer.problem.split()),
}


def place(where: str, number: int) -> str:
    """What a table calls a row that lies there: the file that it is, else its number, counted from 0 in the
    data's order."""
    return f"row {number}" if _COUNTED.fullmatch(where) else where


def columns(outputs: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """{(output, field): column} of the table's answers, of {output: its fields, "value" first}. The one place
    that names them.

    A value stands under its output's name; the other fields under their own where there is one output, else
    under OUTPUT.FIELD. Where two names were equal, every one is OUTPUT.FIELD: outputs differ, and no field
    has a dot, so no two of these can be equal, nor one of BOOKS. Case does not count, as a parquet file tells
    no names apart by it."""
    spots = [(name, field) for name, fields in outputs.items() for field in fields]
    several = len(outputs) > 1
    short = {
        (name, field): name if field == "value" else f"{name}.{field}" if several else field
        for name, field in spots
    }
    named = (
        short
        if _differ([*BOOKS, *short.values()])
        else {(name, field): f"{name}.{field}" for name, field in spots}
    )
    assert len({*BOOKS, *named.values()}) == len(BOOKS) + len(spots), "a column is written once"
    return named


def _differ(names: Iterable[str]) -> bool:
    listed = [name.casefold() for name in names]
    return len(set(listed)) == len(listed)


def _free(name: str, taken: set[str], front: str = "") -> str:
    """The name, changed until no other column is called so: `front` before it, else a number behind it."""
    found, count = name, 1
    while found.casefold() in taken:
        count += 1
        found = f"{front}{found}" if front else f"{name}.{count}"
    taken.add(found.casefold())
    return found


class Answers(list[Answer]):
    """Answers to many rows, in their order."""

    def __init__(self, found: Iterable[Answer], table: Table, data: Any = None):
        super().__init__(found)
        self._table, self._data = table, data

    def columns(self) -> dict[str, list[Any]]:
        """{column: cells} as `mapsto predict` names them, values as they are: what any frame is made of."""
        rows = [self._table.row(answer, number) for number, answer in enumerate(self)]
        return {name: [row[name] for row in rows] for name in self._table.columns}

    @property
    def frame(self) -> Any:
        """The answers as a frame of the kind that was asked about, with its index. ConfigError: it was no
        frame."""
        kind = type(self._data)
        if kind.__name__ not in ("DataFrame", "LazyFrame"):
            raise ConfigError(
                f"expected answers to a pandas or polars frame, these are to {kind.__name__}.\nMake one of"
                " their columns: pandas.DataFrame(answers.columns())"
            )
        cells = self.columns()
        cells.pop("row", None)
        if kind.__name__ == "LazyFrame":
            return type(self._data.clear().collect())(cells)
        index = {"index": self._data.index} if hasattr(self._data, "index") else {}
        return kind(cells, **index)
