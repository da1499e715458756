"""Lines of a place as rows: JSON objects, or csv below a first line that names the columns."""

from __future__ import annotations

import csv
import json

from mapsto.cells import shorten
from mapsto.serve.served.base import Row
from mapsto.serve.streams.base import Event, Reader


class EventRows:
    """csv: are lines csv?"""

    def __init__(self, csv: bool):
        self.csv = csv
        self._columns: list[str] | None = None
        self._mark = ","

    def begin(self, reader: Reader) -> None:
        """Where reading begins behind a place's first line, that one names the columns."""
        if self.csv and (line := reader.first()):
            self._name_columns(line)

    def is_event(self, event: Event) -> bool:
        """Empty lines are none, nor is the one that names the columns."""
        if self.csv and event.first:
            self._name_columns(event.text)
            return False
        return bool(event.problem or event.text.strip())

    def read(self, event: Event) -> Row | str:
        """Its cells, or what is wrong with it."""
        if event.problem:
            return event.problem
        try:
            text = event.text.decode("utf-8-sig")
            return self._cells(text.rstrip("\r")) if self.csv else _object(text)
        except (ValueError, RecursionError, csv.Error) as problem:
            what = "a csv line" if self.csv else "a JSON object"
            why = (
                f"{problem.msg}, column {problem.colno}"
                if isinstance(problem, json.JSONDecodeError)
                else problem
            )
            return f"expected {what}, found {shorten(event.text.decode('utf-8', 'replace'), 60)} ({why})"

    def _name_columns(self, line: bytes) -> None:
        text = line.decode("utf-8-sig", "replace").rstrip("\r")
        self._mark = max(",;\t|", key=text.count)
        self._columns = next(csv.reader([text], delimiter=self._mark), [])

    def _cells(self, line: str) -> Row:
        cells = next(csv.reader([line], delimiter=self._mark, strict=True), [])
        columns = self._columns or []
        if len(cells) != len(columns):
            raise ValueError(f"{len(cells)} cells, where {len(columns)} columns are named")
        return dict(zip(columns, cells, strict=True))


def _object(text: str) -> Row:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"JSON, but a {type(found).__name__}")
    return found
