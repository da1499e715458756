"""Lines that use a run, and work as they are printed: with its real path and a row of its real columns."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mapsto.blocks import Block, Code, Paragraph, Section
from mapsto.prediction import FIELDS
from mapsto.registry.trust import flags
from mapsto.report.decisions import command
from mapsto.run import Run


def use(run: Run, example: Mapping[str, Any], private: bool, at: Path) -> Section:
    """One new row, in the shell and in Python. at: how the run's folder is called."""
    if not run.signature.inputs:
        return _given_nothing(run, at)
    row = cells(run, example, private, at)
    line = shell(row, at)
    blocks: list[Block] = [*([Code(line)] if line else []), Code(python(run, row, at), "python")]
    if asked := flags(run.record):
        blocks.append(
            Paragraph(
                f"It was made with a file of somebody's own. Every command that opens it needs{asked}; in"
                " Python: mapsto.load(…, trust=[FILE])."
            )
        )
    if locations := run.record["data"]["locations"]:
        blocks.append(
            Paragraph(
                "Files, folders, tables and frames with these columns are answered too, any number of rows at"
                " once."
            )
        )
        blocks.append(Code(shlex.join(["mapsto", "predict", str(at), locations[0], "--out", "answers.csv"])))
    shown = "a training row" if private and example else "a placeholder: put your own in"
    return Section(
        "use", "How to use it", f"One row, from the shell and from Python ({shown}).", tuple(blocks)
    )


def _given_nothing(run: Run, at: Path) -> Section:
    """Of a run that has no inputs."""
    usages = [run.output(slot.name).usage for slot in run.signature.outputs]
    usage = next((usage for usage in usages if usage is not None), None)
    if usage is None:
        return Section("use", "How to use it", "It is given nothing, and asked by its learner alone.", ())
    python = ["import mapsto", "", f"run = mapsto.load({str(at)!r})", usage.python]
    blocks = (
        Code(shlex.join(["mapsto", usage.command, str(at), *usage.arguments])),
        Code("\n".join(python), "python"),
    )
    return Section("use", "How to use it", usage.headline, blocks)


def reproduce(run: Run, at: Path) -> Section:
    """How to make it again, and to go on."""
    blocks = (
        Paragraph(
            "Execute the record of this run again, decisions and all, and compare the weights bit for bit:"
        ),
        Code(shlex.join(["mapsto", "reproduce", str(at)])),
        Paragraph("Ask the same again, and let the machine decide anew:"),
        Code(command(run, at)),
        Paragraph("Learn on from here; `--data` adds new rows and new classes:"),
        Code(shlex.join(["mapsto", "extend", str(at), "--minutes", "5"])),
    )
    said = (
        "Weights are a function of data, settings, seed, decisions, machine and versions; all of these stand"
        " in the run."
    )
    return Section("reproduce", "How to make it again", said, blocks)


def cells(run: Run, example: Mapping[str, Any], private: bool, at: Path) -> dict[str, Any]:
    """One row by column: the example's, where it may be shown, or placeholders."""
    if private and example:
        return {
            name: str(at / cell["file"]) if isinstance(cell, Mapping) and set(cell) == {"file"} else cell
            for name, cell in example.items()
        }
    return {slot.column: run.types["input", slot.name].placeholder for slot in run.signature.inputs}


def shell(row: Mapping[str, Any], at: Path) -> str:
    """A command that answers one row; "" where it cannot be written as csv."""
    if (only := _picture(row)) is not None:
        return shlex.join(["mapsto", "predict", str(at), only])
    if not row or any(isinstance(cell, (Mapping, list)) for cell in row.values()):
        return ""
    lines = [_csv(row), _csv("" if cell is None else cell for cell in row.values())]
    return f"printf '%s\\n' {shlex.join(lines)} | {shlex.join(['mapsto', 'predict', str(at), '-'])}"


def python(run: Run, row: Mapping[str, Any], at: Path) -> str:
    """The same in Python, with what a prediction of each output holds."""
    only = _picture(row)
    lines = [
        "import mapsto",
        "",
        f"run = mapsto.load({str(at)!r})",
        f"answer = run.predict({only if only is None else repr(only)})",
    ]
    if only is None:
        lines[-1:] = _call(row)
    for slot in run.signature.outputs:
        fields = [name for name in run.output(slot.name).fields if name in FIELDS and name != "set"]
        lines += [
            f"found = answer.predictions[{slot.name!r}]",
            f"print({', '.join(f'found.{name}' for name in fields)})",
        ]
    return "\n".join(lines)


def _call(row: Mapping[str, Any]) -> list[str]:
    """One cell a line where they are many. A row with lists in it stands in a list itself: else these would
    be taken for columns."""
    start, end = ("[", "])[0]") if any(isinstance(cell, list) for cell in row.values()) else ("", ")")
    if len(repr(dict(row))) <= 80:
        return [f"answer = run.predict({start}{dict(row)!r}{end}"]
    return [
        f"answer = run.predict({start}{{",
        *(f"    {name!r}: {cell!r}," for name, cell in row.items()),
        f"}}{end}",
    ]


def _picture(row: Mapping[str, Any]) -> str | None:
    """The path, where a row is one picture."""
    only = next(iter(row.values()), None)
    return only if len(row) == 1 and isinstance(only, str) and Path(only).suffix == ".png" else None


def _csv(cells: Iterable[Any]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow(cells)
    return file.getvalue()
