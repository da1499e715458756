"""Right answers as people give them: a line of JSON for each, that `mapsto extend` can learn from. Files
lie in a folder beside it, and the line names them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.errors import CellError, did_you_mean
from mapsto.files import append_json, disk_error, write_atomic
from mapsto.serve.limits import Refused

if TYPE_CHECKING:
    from mapsto.serve.service import Current

PARTS = ("row", "right", "answer", "thumb")
EXPECTED = 'Expected {"row": {…}, "right": {output: value}}, or {"row": {…}, "answer": {…}, "thumb": "up"}.'


class Feedback:
    """path: ends in .jsonl."""

    def __init__(self, path: Path):
        self.path, self._lock = path, threading.Lock()

    def add(self, current: Current, asked: Mapping[str, Any]) -> None:
        """A row with the right answers: those given, or where a thumb is up the answer itself. Refused (422):
        neither; a thumb down alone teaches nothing, and is kept with no answer."""
        row, outputs = asked.get("row"), current.description["outputs"]
        if others := [name for name in asked if name not in PARTS]:
            raise Refused(422, f"'{str(others[0])[:80]}' is no part of it.\n{EXPECTED}")
        if not isinstance(row, Mapping):
            raise Refused(422, f"'row' lacks.\n{EXPECTED}")
        if others := [name for name in row if name not in current.inputs]:
            raise Refused(
                422, f"'{others[0][:80]}' is no field; {did_you_mean(others[0][:80], current.inputs)}"
            )
        if asked.get("thumb") not in (None, "up", "down"):
            raise Refused(422, f"'thumb' is neither up nor down.\n{EXPECTED}")
        right = asked.get("right")
        if right is None and asked.get("thumb") in ("up", "down"):
            answer = asked.get("answer")
            answer = answer if isinstance(answer, Mapping) else {}
            up = asked["thumb"] == "up"
            right = {one["name"]: answer.get(one["columns"]["value"]) if up else None for one in outputs}
        names = [one["name"] for one in outputs]
        if not isinstance(right, Mapping) or not set(right) <= set(names) or not right:
            raise Refused(422, f"'right' lacks, or names other outputs than {', '.join(names)}.\n{EXPECTED}")
        known = {name: value for name, value in right.items() if value is not None}
        _, problems = current.served.labelled([{**row, **known}]) if len(known) == len(names) else ({}, {})
        if problems:
            raise Refused(422, f"{problems[0]}\n{EXPECTED}")
        try:
            cells = {name: self._cell(current, name, row[name]) for name in current.inputs if name in row}
        except CellError as problem:
            raise Refused(422, str(problem)) from None
        try:
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                append_json(self.path, json.loads(json.dumps({**cells, **right})))
        except OSError as problem:
            raise disk_error(self.path, problem) from None

    def _cell(self, current: Current, name: str, cell: Any) -> Any:
        """As it came; a file as its name beside the lines."""
        data = current.served.file_of(name, cell) if name in current.files else None
        if data is None:
            return cell
        folder = self.path.with_suffix(".files")
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.blake2b(data, digest_size=12).hexdigest()
        path = folder / f"{digest}{current.served.ending_of(name)}"
        if not path.exists():
            write_atomic(path, lambda temporary: temporary.write_bytes(data))
        return f"{folder.name}/{path.name}"
