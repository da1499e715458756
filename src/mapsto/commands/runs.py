"""mapsto runs: list the runs in a folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapsto.errors import DataError
from mapsto.events import Emit
from mapsto.terminal.words import say

if TYPE_CHECKING:
    from mapsto.run import Run

HELP = "list the runs in a folder"


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", nargs="?", default="runs", help="the folder they lie in (runs)")


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.files import is_locked
    from mapsto.run import Run

    folder = Path(asked.folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of runs, found none.\nTrain one: mapsto train DATA")
    lines: list[tuple[str, ...]] = [
        ("run", "signature", "status", "best metric on test", "seconds", "rows/s", "of peak")
    ]
    broken: list[tuple[str, str]] = []
    for one in Run.list(folder, lambda path, problem: broken.append((str(path), str(problem)))):
        lines.append(_line(one, is_locked(one.path)))
        if asked.json:
            print(json.dumps(_record(one)))
    for path, problem in broken:
        lines.append((Path(path).name, "", "damaged: its run.json cannot be read", "—", "—", "—", "—"))
        if asked.json:
            print(json.dumps({"run": path, "status": "damaged", "problem": problem}))
    if not asked.json:
        say(_aligned(lines) if len(lines) > 1 else f"no runs in {folder}")
    return 0


def _line(run: Run, locked: bool) -> tuple[str, ...]:
    """A run's cells in the table. locked: a process is learning it now."""
    from mapsto.terminal.words import number, short

    slot, scores = next(iter(run.metrics.get("test", {}).items()), ("", {}))
    best = (run.record.get("choice", {}).get("best") or [slot, next(iter(scores), "")])[1]
    found, speed = scores.get(best), run.record.get("speed", {})
    interval = f"({number(found['low'])} – {number(found['high'])})" if found else ""
    return (
        run.path.name,
        short(run.record.get("signature_text", ""), 60),
        "cut off (resume)" if run.status == "running" and not locked else run.status,
        f"{best} {number(found['value'])} {interval}" if found else "—",
        str(run.record.get("seconds", "—")),
        f"{speed['rows_per_second']:,.0f}" if speed else "—",
        f"{speed['share']:.0%}" if speed.get("share") else "—",
    )


def _record(run: Run) -> dict[str, Any]:
    """The same for programs."""
    return {
        "run": str(run.path),
        "status": run.status,
        "signature": run.record.get("signature_text"),
        "test": run.metrics.get("test"),
        "speed": run.record.get("speed", {}),
    }


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
