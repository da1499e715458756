"""Earlier segments of a run that is extended: moved aside when it goes on, put back when it cannot."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mapsto.run import Run


def archive(run: Run) -> str:
    """Move the finished segment's files into `segments/<k>`; the folder's name."""
    number = 1 + max(
        (int(folder.name) for folder in (run.path / "segments").glob("*") if folder.name.isdigit()), default=0
    )
    folder = run.path / "segments" / str(number)
    folder.mkdir(parents=True)
    for name in ("run.json", "rows.npz", "metrics.json"):
        if (run.path / name).exists():
            shutil.copyfile(run.path / name, folder / name)
    for name in ("model.safetensors", "decisions.jsonl", "log.jsonl"):
        if (run.path / name).exists():
            (run.path / name).rename(folder / name)
    return f"segments/{number}"


def put_back(run: Run, kept: str) -> None:
    """Undo `_archive`: what was to follow the segment never began."""
    for file in (run.path / kept).iterdir():
        file.replace(run.path / file.name)
    (run.path / kept).rmdir()
    with suppress(OSError):  # other segments stay
        (run.path / kept).parent.rmdir()
