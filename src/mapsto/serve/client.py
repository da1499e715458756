"""A client of one page: `mapsto.Client("http://127.0.0.1:8000/flowers").predict("new/rose.jpg")`. It needs
nothing beside Python, and loads no torch."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from mapsto.cells import shorten
from mapsto.errors import DataError, RunError

AGAIN = (429, 503)  # what a server says that will answer later
MOST_ROWS = 1_000  # of a request
LONGEST = 30.0  # seconds waited before another try


class Client:
    """url: a server's address with a name, …/NAME, or without where it serves one run. token: that it wants;
    tries: how often a request is sent that the server is too busy for; seconds: waited for an answer."""

    def __init__(self, url: str, token: str | None = None, tries: int = 5, seconds: float = 60.0):
        parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RunError(f"{shorten(url)}: expected an address, as in: http://127.0.0.1:8000/NAME")
        self._root, self._name = f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")
        self.token, self.tries, self.seconds = token, tries, seconds

    @cached_property
    def name(self) -> str:
        """Under which the run is served. RunError: there are several, and none was named."""
        if self._name:
            return self._name
        names = list(json.loads(self._ask("/names")))
        if len(names) != 1:
            raise RunError(f"{self._root}: serves {', '.join(names)}.\nName one: {self._root}/{names[0]}")
        return names[0]

    @cached_property
    def description(self) -> dict[str, Any]:
        """What it is: fields, answers, figures, limits."""
        return json.loads(self._ask(f"/{self.name}"))

    def predict(
        self,
        data: Any,
        *,
        probabilities: bool = False,
        missing_ok: bool = False,
        others_ok: bool = False,
    ) -> Any:
        """An answer, {column: value}, to a row; a list of them to a list of rows. A row: {field: value}, or
        the value alone where there is one field. Files: a path, or bytes. others_ok: may rows hold more than
        fields? DataError: a row cannot be
        answered; of several rows such have a "problem"."""
        many = isinstance(data, Sequence) and not isinstance(data, (str, bytes, bytearray))
        wants = urllib.parse.urlencode(
            {
                name: "true"
                for name, on in (
                    ("probabilities", probabilities),
                    ("missing_ok", missing_ok),
                    ("others_ok", others_ok),
                )
                if on
            }
        )
        path = f"/{self.name}?{wants}" if wants else f"/{self.name}"
        if not many:
            return json.loads(self._ask(path, self._row(data)))
        found: list[dict[str, Any]] = []
        for low in range(0, len(data), MOST_ROWS):
            part = json.loads(self._ask(path, [self._row(row) for row in data[low : low + MOST_ROWS]]))
            found += [{**answer, "row": f"row {low + i}"} for i, answer in enumerate(part)]
        return found

    def write(self, begin: str | Sequence[Mapping[str, str]] = "", **how: Any) -> Iterator[str]:
        """Pieces of a text as they are written: begin is its beginning, or of a run that talks the messages,
        [{"role": "user", "content": …}]. how: tokens, temperature, top_p, seed, stop."""
        asked = {"prompt" if isinstance(begin, str) else "messages": begin, **how, "stream": True}
        with self._open(f"/{self.name}/write", asked) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    said = json.loads(line[6:])
                    if "error" in said:
                        raise RunError(said["error"]["message"])
                    if (piece := said.get("text")) is not None:
                        yield piece

    def feedback(self, row: Any, **right: Any) -> None:
        """Keep the right answers to a row, where the server keeps any."""
        self._ask(f"/{self.name}/feedback", {"row": self._row(row), "right": right})

    # ---- requests ----

    def _row(self, row: Any) -> dict[str, Any]:
        """As JSON has it, files as base64."""
        inputs = self.description["inputs"]
        if not isinstance(row, Mapping):
            if len(inputs) != 1:
                names = ", ".join(one["name"] for one in inputs)
                raise DataError(f"expected a row of {names}, got {shorten(row)}.\nGive {{field: value}}.")
            row = {inputs[0]["name"]: row}
        files = {one["name"] for one in inputs if one["schema"].get("contentEncoding")}
        return {name: _file(cell) if name in files else _plain(cell) for name, cell in row.items()}

    def _ask(self, path: str, body: Any = None) -> bytes:
        with self._open(path, body) as answer:
            return answer.read()

    def _open(self, path: str, body: Any = None) -> Any:
        """An answer; where the server is too busy, after some waiting. DataError: it says what is wrong with
        the request; RunError: it cannot be reached, or does not answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        for tried in range(1, self.tries + 1):
            request = urllib.request.Request(self._root + urllib.parse.quote(path, "/?=&"), data, headers)
            try:
                return urllib.request.urlopen(request, timeout=self.seconds)
            except urllib.error.HTTPError as problem:
                with problem:
                    said = _problem(problem.read())
                if problem.code not in AGAIN or tried == self.tries:
                    kind = DataError if problem.code in (413, 415, 422) else RunError
                    raise kind(f"{self._root}{path.partition('?')[0]}: {said or problem.reason}") from None
                wait = problem.headers.get("Retry-After") or ""
                time.sleep(min(LONGEST, float(wait) if wait.isdigit() else 0.5 * tried))
            except OSError as problem:
                why = getattr(problem, "reason", problem)
                raise RunError(
                    f"{self._root}: cannot be reached ({why}).\nIs it served? mapsto serve RUN"
                ) from None
        raise AssertionError("tried and tried")


def _file(cell: Any) -> Any:
    if isinstance(cell, (str, PurePath)) and len(str(cell)) < 4096 and not str(cell).startswith("data:"):
        try:
            cell = Path(cell).read_bytes()
        except OSError as problem:
            raise DataError(f"{cell}: cannot be opened ({problem.strerror}).\nCheck the path.") from None
    return base64.b64encode(cell).decode() if isinstance(cell, (bytes, bytearray)) else cell


def _plain(cell: Any) -> Any:
    return bytes(cell).decode("utf-8", "replace") if isinstance(cell, (bytes, bytearray)) else cell


def _problem(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    return str(said.get("problem", "")) if isinstance(said, dict) else ""
