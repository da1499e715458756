"""mapsto runs: list the runs in a folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mapsto.errors import DataError
from mapsto.events import Emit

HELP = "list the runs in a folder"


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", nargs="?", default="runs", help="the folder they lie in (runs)")


def do(asked: argparse.Namespace, emit: Emit) -> int:
    from mapsto.files import is_locked
    from mapsto.run import Run
    from mapsto.terminal import number, short

    folder = Path(asked.folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of runs, found none.\nTrain one: mapsto train DATA")
    lines = [("run", "signature", "status", "best metric on test", "seconds", "rows/s", "of peak")]
    broken: list[tuple[str, str]] = []
    for one in Run.list(folder, lambda path, problem: broken.append((str(path), str(problem)))):
        slot, scores = next(iter(one.metrics.get("test", {}).items()), ("", {}))
        best = (one.record.get("choice", {}).get("best") or [slot, next(iter(scores), "")])[1]
        found = scores.get(best)
        lines.append(
            (
                one.path.name,
                short(one.record.get("signature_text", ""), 60),
                "cut off (resume)" if one.status == "running" and not is_locked(one.path) else one.status,
                (
                    f"{best} {number(found['value'])} ({number(found['low'])} – {number(found['high'])})"
                    if found
                    else "—"
                ),
                str(one.record.get("seconds", "—")),
                f"{speed['rows_per_second']:,.0f}" if (speed := one.record.get("speed", {})) else "—",
                f"{speed['share']:.0%}" if speed.get("share") else "—",
            )
        )
        if asked.json:
            print(
                json.dumps(
                    {
                        "run": str(one.path),
                        "status": one.status,
                        "signature": one.record.get("signature_text"),
                        "test": one.metrics.get("test"),
                        "speed": speed,
                    }
                )
            )
    for path, problem in broken:
        lines.append((Path(path).name, "", "damaged: its run.json cannot be read", "—", "—", "—", "—"))
        if asked.json:
            print(json.dumps({"run": path, "status": "damaged", "problem": problem}))
    if not asked.json:
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        print(
            "\n".join(
                "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                for line in lines
            )
            if len(lines) > 1
            else f"no runs in {folder}"
        )
    return 0
