"""Earlier segments of a run that is extended: set aside when it goes on, put back when it cannot.

A kill may come between any two writes. A segment is whole before the record says that the run goes on from
it, and what it holds leaves the run's own folder only then; so a run is either done, with all its files, or
running, with the whole segment it goes on from. `run`: of `mapsto.run.folder`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from mapsto.errors import RunError
from mapsto.files import disk_error, locked
from mapsto.training.checkpoint import NAME, PREVIOUS

WEIGHTS = "model.safetensors"
NOVELTY = "novelty.safetensors"
COPIED = ("run.json", "rows.npz", "metrics.json", NOVELTY)  # which stay in the run's folder, too
MOVED = (WEIGHTS, "decisions.jsonl", "log.jsonl")  # of which the next segment has its own


def set_aside(run: Any) -> str:
    """Put the files of a finished segment into `segments/<k>`, too; the folder's name. RunError where it
    cannot be written. What a kill left of an earlier try goes."""
    for name in (
        NAME,
        PREVIOUS,
    ):  # of a training that was killed once it was done: the next would use them
        (run.path / name).unlink(missing_ok=True)
    last, folder = _number(run.record.get("segment", "")), run.path / "segments"
    for other in _numbered(folder):
        if _number(other.name) > last:
            shutil.rmtree(other)
    building = folder / f".{last + 1}.tmp"
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        for name in (*COPIED, *MOVED):
            if (run.path / name).exists():
                _copy(run.path / name, building / name)
        os.rename(building, folder / str(last + 1))
    except OSError as problem:
        raise disk_error(folder, problem) from None
    return f"segments/{last + 1}"


def leave_behind(run: Any) -> None:
    """Once the record says that the run goes on from a segment: what is that segment's alone goes from the
    run's own folder. Nothing that was written since does."""
    kept: str = run.record.get("segment", "")
    for name in MOVED if kept and run.status != "done" else ():
        own, its = run.path / name, run.path / kept / name
        if own.exists() and its.exists() and _same(own, its):
            own.unlink()


def answers_before(run: Any) -> Path | None:
    """The finished segment of a run that goes on from it and has no weights yet."""
    kept = run.path / run.record.get("segment", "")
    if kept == run.path or run.status == "done" or (run.path / WEIGHTS).exists():
        return None
    return kept if (kept / "run.json").is_file() else None


def put_back(run: Any, kept: str) -> None:
    """Undo `set_aside`: what was to follow the segment never began. The record comes last."""
    folder = run.path / kept
    for name in (*MOVED, *COPIED[::-1]):
        if (folder / name).exists():
            _copy(folder / name, run.path / name)
    shutil.rmtree(folder)
    with suppress(OSError):  # other segments stay
        folder.parent.rmdir()


def recover(path: Path, status: str) -> None:
    """A run whose weights an earlier mapsto had moved into a segment when it was killed: they come back."""
    if status != "done" or (path / WEIGHTS).exists():
        return
    folder = max(_numbered(path / "segments"), key=lambda each: int(each.name), default=path)
    if folder == path or not (folder / WEIGHTS).exists() or not (folder / "run.json").exists():
        return
    if (folder / "run.json").read_bytes() != (path / "run.json").read_bytes():
        return
    with suppress(RunError), locked(path):  # another process does it, or may not write here
        for name in MOVED[::-1]:
            if (folder / name).exists() and not (path / name).exists():
                _copy(folder / name, path / name)


def _numbered(folder: Path) -> list[Path]:
    return [each for each in folder.glob("*") if each.name.isdigit()]


def _number(kept: str) -> int:
    return int(kept.rpartition("/")[2]) if kept else 0


def _copy(source: Path, goal: Path) -> None:
    """Whole or not at all. Tensors are linked where the disk can: nobody writes them in place."""
    building = goal.with_name(f".{goal.name}.tmp")
    building.unlink(missing_ok=True)
    linked = False
    if source.name in (WEIGHTS, NOVELTY):
        with suppress(OSError):
            os.link(source, building)
            linked = True
    if not linked:
        shutil.copyfile(source, building)
    os.replace(building, goal)
    if building.exists():  # both were one file already
        building.unlink()


def _same(one: Path, other: Path) -> bool:
    if os.path.samefile(one, other):
        return True
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
