"""The loss before the first step, beside its theoretical value: what the best answer costs that does not look
at the inputs. For K equally frequent classes that is log K, for others the entropy of their shares, for a
number its variance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from mapsto.doctor.base import Issue, Subject

TIMES, MORE = (
    2.0,
    0.1,
)  # a fresh net lies within a fifth of theory; at twice as much, the first steps go into unlearning


def start(patient: Subject) -> Iterable[Issue]:
    """Each output by itself, with batch statistics as in training."""
    for slot, losses in patient.first_losses.items():
        if not losses.mean <= TIMES * losses.constant + MORE:  # a loss that is no number too
            yield Issue(
                "start_loss",
                f"the loss of '{slot}' starts at {losses.mean:.4g}; an answer that ignores the inputs costs"
                f" {losses.constant:.4g}",
                "scale the inputs and the first weights so that the first outputs are near zero, or start the"
                " last layer at zero",
                ("rate_high",) if math.isfinite(losses.mean) else (),
                figures={"output": slot, "start": losses.mean, "theory": losses.constant},
            )


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {"the loss at the start": start}
