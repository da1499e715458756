"""Runs that learned on from a stream (`mapsto.steps.learned_run`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapsto.errors import RunError


def way_on(path: Path, record: Mapping[str, Any]) -> str:
    """The command that goes on with an unfinished run."""
    if (stream := record.get("stream")) and "segment" not in record:
        return f"mapsto stream {stream['run']} FROM TO --learn LABELS --out {path}"
    return f"mapsto resume {path}"


def refuse_streamed(run: Any) -> None:
    """RunError: what learned from a stream is not a function of a run's data and settings. One that was
    extended since is, of the weights that it was extended from."""
    if run.record.get("stream") and "segment" not in run.record:
        raise RunError(
            f"{run.path}: learned on from a stream, whose events it does not keep.\nGo on with:"
            f" {way_on(run.path, run.record)}"
        )
