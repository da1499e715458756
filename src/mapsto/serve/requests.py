"""Bodies of requests made rows: JSON, forms with files, and tables (csv, jsonl, parquet) read as `mapsto
predict` reads them. No cell of any of them is taken for a path or, unless that is allowed, for an address.
"""

from __future__ import annotations

import base64
import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapsto.cells import Blob, shorten
from mapsto.errors import MapstoError
from mapsto.lite.rows import PIECE
from mapsto.serve.limits import Limits, Refused

JSON, FORM = "application/json", "multipart/form-data"
TABLES = {  # media type: ending
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
}
ENDINGS = frozenset(TABLES.values())
KINDS = ", ".join([JSON, FORM, *TABLES])
FETCH = 10  # seconds that an address has to answer


@dataclass(frozen=True)
class Rows:
    """rows: {column: JSON's value, or a file's bytes} each; single: was it one row, not a list of one? form:
    "json", or the ending of the table that came, as which answers go back; bad: (rows before it,
    where, why) of lines that could not be divided into cells."""

    rows: Sequence[Mapping[str, Any]]
    single: bool = False
    form: str = "json"
    bad: Sequence[tuple[int, str, str]] = ()


def of_json(body: bytes, inputs: Sequence[str], limits: Limits) -> Rows:
    """An object is a row, a list several; where there is one input, its cells may come bare. Refused (422):
    neither."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise Refused(422, f"the body is no JSON ({shorten(problem, 80)}).\n{_expected(inputs)}") from None
    only = inputs[0] if len(inputs) == 1 else None
    if isinstance(found, Mapping):
        return Rows([found], single=True)
    if isinstance(found, list):
        _refuse_many(len(found), limits)
        if all(isinstance(row, Mapping) for row in found):
            return Rows(found)
        wrong = next(i for i, row in enumerate(found) if not isinstance(row, Mapping))
        if only is not None and not any(isinstance(row, Mapping) for row in found):
            return Rows([{only: cell} for cell in found])
        raise Refused(422, f"row {wrong} is {_kind(found[wrong])}, no object.\n{_expected(inputs)}")
    if only is not None and found is not None:
        return Rows([{only: found}], single=True)
    raise Refused(422, f"the body is {_kind(found)}.\n{_expected(inputs)}")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _expected(inputs: Sequence[str]) -> str:
    row = json.dumps(dict.fromkeys(inputs[:6], "…"), ensure_ascii=False)
    return f"Expected a row, {row}, or a list of rows."


def of_form(parts: Sequence[tuple[str, str | None, bytes]], inputs: Sequence[str], limits: Limits) -> Rows:
    """(field, its file's name or None, contents) of a form. One table is its rows; a field that stands
    several times is a column. Refused (422): columns of unequal length, or no field."""
    if not parts:
        raise Refused(
            422, f"the form is empty.\nExpected the fields {', '.join(inputs)}, or a table as a file."
        )
    field, name, data = parts[0]
    ending = Path(name or "").suffix.lower()
    if len(parts) == 1 and ending in ENDINGS and (field not in inputs or len(inputs) > 1):
        return of_table(data, ending, limits)
    columns: dict[str, list[bytes]] = {}
    for field, _, data in parts:
        columns.setdefault(field, []).append(data)
    if len(columns) == 1 and len(inputs) == 1 and inputs[0] not in columns:
        columns = {inputs[0]: next(iter(columns.values()))}  # as people call a file: file, image, upload
    sizes = {field: len(cells) for field, cells in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{field}: {size}" for field, size in sizes.items())
        raise Refused(422, f"the form's fields stand unequally often ({told}).\nGive each once a row.")
    rows = next(iter(sizes.values()))
    _refuse_many(rows, limits)
    return Rows(
        [{field: cells[i] for field, cells in columns.items()} for i in range(rows)], single=rows == 1
    )


def of_table(data: bytes, ending: str, limits: Limits) -> Rows:
    """A table's rows. Refused (422): it cannot be read, (413): it has too many."""
    from mapsto.data.open import open_source

    rows: list[dict[str, Any]] = []
    bad: list[tuple[int, str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{ending}"
        path.write_bytes(data)
        try:
            for chunk in open_source(str(path)).lines().chunks(PIECE):
                _refuse_many(len(rows) + len(chunk), limits)
                cells = zip(*chunk.columns.values(), strict=True)
                rows += [
                    {name: _bare(cell) for name, cell in zip(chunk.columns, row, strict=True)}
                    for row in cells
                ]
                bad += [(len(rows), line.where, line.why) for line in chunk.bad]
        except Refused:
            raise
        except MapstoError as problem:
            raise Refused(422, str(problem).replace(str(folder) + "/", "")) from None
    return Rows(rows, form=ending, bad=bad)


def _bare(cell: Any) -> Any:
    """A reader takes a name that looks like a file's for the file: here it stays a name."""
    return cell.name if isinstance(cell, Blob) else cell


def _refuse_many(rows: int, limits: Limits) -> None:
    if rows > limits.most_rows:
        raise Refused(413, f"more than {limits.most_rows:,} rows.\nSend fewer at a time.")


def with_addresses(
    rows: Sequence[Mapping[str, Any]], files: Collection[str], allowed: str, limits: Limits
) -> list[Mapping[str, Any]]:
    """The rows, their cells that are addresses of files fetched. files: inputs that are files; allowed: ""
    none, "all", or hosts with commas between them. In a thread: it waits for others."""
    if not allowed:
        return list(rows)
    hosts = {host.strip().lower() for host in allowed.split(",")}
    return [
        {name: _fetched(cell, hosts, limits) if name in files else cell for name, cell in row.items()}
        for row in rows
    ]


def _fetched(cell: Any, hosts: Collection[str], limits: Limits) -> Any:
    if not isinstance(cell, str) or not cell.lower().startswith(("http://", "https://")):
        return cell
    host = (urllib.parse.urlsplit(cell).hostname or "").lower()
    if "all" not in hosts and host not in hosts:
        raise Refused(
            422, f"{shorten(cell, 80)}: this server does not fetch from {host}.\nSend the file itself."
        )
    try:
        with _opener(hosts).open(cell, timeout=FETCH) as answer:
            data = answer.read(limits.most_bytes + 1)
    except (OSError, ValueError, urllib.error.URLError) as problem:
        raise Refused(
            422, f"{shorten(cell, 80)}: cannot be fetched ({problem}).\nSend the file itself."
        ) from None
    if len(data) > limits.most_bytes:
        raise Refused(
            413, f"{shorten(cell, 80)}: more than {limits.most_bytes:,} bytes.\nSend a smaller one."
        )
    return base64.b64encode(data).decode()


def _opener(hosts: Collection[str]) -> urllib.request.OpenerDirector:
    """Follows no link that leads to another host than those allowed."""

    class Near(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            host = (urllib.parse.urlsplit(newurl).hostname or "").lower()
            if not newurl.lower().startswith(("http://", "https://")) or not {"all", host} & {*hosts}:
                raise ValueError(f"it leads to {shorten(newurl, 60)}")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return urllib.request.build_opener(Near)
