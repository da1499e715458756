"""Runs that learned on from a stream (`mapsto.steps.learned_run`)."""

from __future__ import annotations

from mapsto.errors import RunError
from mapsto.run.folder import RunFolder


def refuse_streamed(run: RunFolder) -> None:
    """RunError: what learned from a stream is not a function of a run's data and settings. One that was
    extended since is, of the weights that it was extended from."""
    if (stream := run.record.get("stream")) and "segment" not in run.record:
        raise RunError(
            f"{run.path}: learned on from a stream, whose events it does not keep.\nGo on with: mapsto stream"
            f" {stream['run']} FROM TO --learn LABELS --out {run.path}"
        )
