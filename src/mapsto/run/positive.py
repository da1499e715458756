"""Of two classes the positive one, which questions look for (--positive)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mapsto.errors import ConfigError, did_you_mean
from mapsto.outputs.base import Output


def check_positive(wanted: str, outputs: Iterable[Output]) -> None:
    """ConfigError where no output of two classes has that one."""
    two = [one.type.classes for one in outputs if one.exclusive and len(one.type.classes) == 2]
    known = [name for classes in two for name in classes]
    if wanted not in known:
        told = did_you_mean(wanted, known) if known else "Nothing with two classes is learned: leave it out."
        raise ConfigError(f"--positive {wanted}: no output of two classes has this one.\n{told}")


def set_positive(run: Any, wanted: str, kept: bool = False) -> None:
    """For questions put to a run from now on; kept: in its record, too. ConfigError as above."""
    check_positive(wanted, [run.output(slot.name) for slot in run.signature.outputs])
    settings = replace(run.settings, report=replace(run.settings.report, positive=wanted))
    vars(run).pop("settings", None)
    if kept:
        run.save(settings=settings.to_json())
    else:
        run.record["settings"] = settings.to_json()
