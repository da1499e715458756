"""Rows of a folder that reads and tells them itself, as a run and its export do: read by its types here, put
through its net in a worker, told as `mapsto predict` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mapsto.cells import plain
from mapsto.errors import CellError, ConfigError, DataError, did_you_mean
from mapsto.lite.description import describe
from mapsto.lite.rows import classes_of, decode_rows, read_rows
from mapsto.prediction import Prediction
from mapsto.prediction.table import Table
from mapsto.serve.limits import Limits
from mapsto.serve.served.base import Read, Row, Served, Wish
from mapsto.signature import Slot
from mapsto.source import Chunk

WRITES = {"sample": "prose", "chat": "talk"}  # by the command that a run without inputs is used with


class Rows(Served):
    """folder: `mapsto.run.Run` or `mapsto.lite.Exported`. names: may values of the training rows be named?"""

    def __init__(self, path: Path, folder: Any, names: bool):
        super().__init__(path)
        self.folder, self.names = folder, names
        self.types, self.signature = folder.types, folder.signature
        self.quick = not any(self._type(slot).suffixes for slot in self.signature.inputs)

    def _type(self, slot: Slot) -> Any:
        return self.types["input", slot.name]

    @cached_property
    def classes(self) -> dict[str, tuple[Any, ...]]:
        """{output: its classes}, {} where answers are none with a probability each."""
        try:
            return classes_of(self.folder)
        except ConfigError:
            return {}

    @cached_property
    def _tables(self) -> dict[bool, Table]:
        """By whether every class's probability is wanted."""
        fields = self.folder.fields
        return {False: Table.of(fields), True: Table.of(fields, self.classes)}

    # ---- what it is ----

    def describe(self) -> dict[str, Any]:
        told = describe(self.folder, self.classes, self.names)
        return {**told, "writes": self.writes, "explains": False, "metrics": {}}

    @property
    def writes(self) -> str:
        """What it goes on with by itself: "prose", "talk", or "" where it answers rows."""
        if self.signature.inputs:
            return ""
        usage = self.folder.output(self.signature.outputs[0].name).usage
        return WRITES.get(usage.command, "") if usage else ""

    # ---- in the server ----

    def read(self, rows: Sequence[Row], wish: Wish, most_pixels: int) -> Read:
        self.folder.refuse_nothing()
        slots = self.signature.inputs
        self._refuse_lacking(rows, slots, wish)
        problems: dict[int, str] = {}
        columns = {
            slot.column: self._cells(self._type(slot), slot, rows, most_pixels, problems) for slot in slots
        }
        where = [f"row {i}" for i in range(len(rows))]
        read = read_rows(self.types, Chunk(columns, where, [None] * len(rows)), self.signature)
        unread = {**read.unread, **problems}
        read = type(read)(read.chunk, read.signature, read.encoded, unread)
        return Read(len(rows), read.encoded, read, unread)

    def _cells(
        self, column_type: Any, slot: Slot, rows: Sequence[Row], most_pixels: int, problems: dict[int, str]
    ) -> list[Any]:
        """A column's raw cells; those that are none are missing, and why stands in `problems`."""
        cells = []
        for i, row in enumerate(rows):
            try:
                cell = column_type.from_web(cell_of(slot, row))
                pixels = column_type.opens_to(cell)
                if pixels > most_pixels:
                    raise CellError(
                        f"opens to {pixels:,} pixels, more than {most_pixels:,}.\nScale it down before"
                        " sending."
                    )
                cells.append(cell)
            except CellError as problem:
                problems.setdefault(i, f"{slot.column}: {problem}")
                cells.append(None)
        return cells

    def labelled(self, rows: Sequence[Row]) -> tuple[dict[tuple[str, str], Any], dict[int, str]]:
        from mapsto.data.encode_chunk import encode_chunk, spots

        most, problems = Limits().most_pixels, {}
        columns = {
            slot.column: self._cells(self.types[side, slot.name], slot, rows, most, problems)
            for side, slot in spots(self.signature)
        }
        chunk = Chunk(columns, [f"row {i}" for i in range(len(rows))], [None] * len(rows))
        encoded, unread = encode_chunk(chunk, self.signature, self.types)
        problems |= {one["row"]: f"{one['column']}: {one['why']}" for one in unread}
        kept = [i for i in range(len(rows)) if i not in problems]
        taken = {
            spot: [cells[i] for i in kept] if isinstance(cells, list) else cells[kept]
            for spot, cells in encoded.items()
        }
        return taken, problems

    def _refuse_lacking(self, rows: Sequence[Row], slots: Sequence[Slot], wish: Wish) -> None:
        """DataError: an input that no row names, or a name that is none."""
        held = dict.fromkeys(name for row in rows for name in row)
        known = [slot.column for slot in slots]
        unknown = [name for name in held if not any(_names(slot, {name: 0}) for slot in slots)]
        if unknown and not wish.others_ok:
            near = did_you_mean(unknown[0], known)
            raise DataError(f"'{unknown[0]}' is no field; {near}\nTo send more than fields: ?others_ok=true")
        lacking = [slot.column for slot in slots if not any(_names(slot, row) for row in rows)]
        if lacking and not (wish.missing_ok and len(lacking) < len(slots)):
            near = did_you_mean(lacking[0], held).replace("choices: ", "found ")
            way = "\nInputs may lack where the request says so: ?missing_ok=true" * (
                len(lacking) < len(slots)
            )
            raise DataError(f"expected the field{'s' * (len(lacking) > 1)} {_listed(lacking)}; {near}{way}")

    def decode(
        self, read: Read, found: Mapping[str, Sequence[Prediction]], wish: Wish
    ) -> list[dict[str, Any]]:
        table = self._tables[wish.probabilities]
        told = decode_rows(self.folder, read.kept, found)
        return [plain(table.row(answer, number)) for number, answer in enumerate(told)]

    def flat(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return self._tables[any(name not in self._tables[False].columns for name in answer)].flat(answer)

    def file_of(self, name: str, cell: Any) -> bytes | None:
        return self._of_column(name).from_web(cell)

    def ending_of(self, name: str) -> str:
        column_type = self._of_column(name)
        usual = column_type.suffix in column_type.suffixes
        return column_type.suffix if usual else min(column_type.suffixes, key=len)

    def _of_column(self, name: str) -> Any:
        return next(self._type(slot) for slot in self.signature.inputs if slot.column == name)

    # ---- in a worker ----

    def warm(self) -> None:
        """One row of missing cells through the net."""
        if self.signature.inputs:
            nothing: Row = {slot.column: None for slot in self.signature.inputs}
            self.predict([self.read([nothing], Wish(), 1).payload])

    def predict(self, payloads: Sequence[Any]) -> list[dict[str, list[Prediction]]]:
        from mapsto.lite.rows import joined

        name = self.signature.inputs[0].name
        sizes = [len(payload["input", name]) for payload in payloads]
        found = self.predictions(joined(payloads), sum(sizes))
        parts, low = [], 0
        for size in sizes:
            parts.append({slot: made[low : low + size] for slot, made in found.items()})
            low += size
        return parts

    def write(self, asked: Mapping[str, Any]) -> Iterator[str]:
        from mapsto.config import options_of
        from mapsto.generation.sampling import Sampling
        from mapsto.lite.writing import pieces_of

        how = dict(asked)
        prompt, talk = how.pop("prompt", None), how.pop("messages", None)
        options = options_of(Sampling, how, "write")
        if talk is not None or self.writes == "talk":
            yield from pieces_of(self.folder, talk or [], options)  # [] is refused by it
        else:
            yield from pieces_of(self.folder, str(prompt or ""), options)

    def predictions(self, encoded: Any, size: int) -> dict[str, list[Prediction]]:
        """{output: the net's answer to each of so many encoded rows}."""
        raise TypeError(f"{type(self).__name__} answers no rows")


def _names(slot: Slot, row: Row) -> bool:
    """Does a row name a slot: by its column, by its name, or as a field of a record?"""
    record, _, inner = slot.column.partition(".")
    held = row.get(record)
    return (
        slot.column in row or slot.name in row or bool(inner and isinstance(held, Mapping) and inner in held)
    )


def cell_of(slot: Slot, row: Row) -> Any:
    for name in (slot.column, slot.name):
        if name in row:
            return row[name]
    record, _, inner = slot.column.partition(".")
    held = row.get(record)
    return held.get(inner) if inner and isinstance(held, Mapping) else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:8]) + ", …" * (len(names) > 8)
