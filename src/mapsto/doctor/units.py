"""Units that give every row the same answer: a relu that is never above zero passes no gradient and never
comes back (Lu et al. 2019, "Dying ReLU and Initialization", arXiv:1903.06733)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mapsto.doctor._probes.activity import Units, watched
from mapsto.doctor.base import Issue, NotMeasurable, Subject

SHARE = 0.5  # of a layer's units; a few percent to a sixth are silent in sound nets
FEW, SHARE_OF_FEW = 100, 0.9  # on few rows a unit may be silent by chance

HARMS = (
    "same_answer",
    "vanishing",
    "rate_low",
    "underfitting",
    "stopped_early",
    "never_heard",
    "learned_to_ignore",
    "no_signal",
    "units_died",
)


def units(patient: Subject) -> Iterable[Issue]:
    """Silent from the start: the first weights are wrong. Silent only now: the training killed them, mostly
    by too high a rate."""
    first = _worst(patient, fresh=True)
    if first is not None:
        yield _complaint(
            "dead_units",
            first,
            patient,
            "before the first step",
            "mend the first weights: zero biases, and matrices by He's or Xavier's rule",
            HARMS,
        )
        return
    try:
        last = _worst(patient, fresh=False)
    except NotMeasurable:
        return
    if last is not None:
        yield _complaint(
            "units_died",
            last,
            patient,
            "after training",
            f"a lower rate (--lr {patient.rate / 10:.1g}), or an activation that never dies (gelu, silu)",
            (),
        )


def _worst(patient: Subject, fresh: bool) -> Units | None:
    """The activation with the largest share of silent units, when it is too large."""
    found = watched(patient, fresh).units
    least = SHARE if patient.learned.size >= FEW else SHARE_OF_FEW
    return max(
        (units for units in found if units.share >= least), key=lambda units: units.share, default=None
    )


def _complaint(
    name: str, found: Units, patient: Subject, when: str, advice: str, harms: tuple[str, ...]
) -> Issue:
    where = f" in '{found.where}'" if found.where else ""
    of = f"{found.silent:,} of {found.number:,} units of a {found.kind}{where}"
    what = f"dead units: {when}, {of} give the same answer for all of {patient.learned.size:,} rows"
    return Issue(
        name,
        what,
        advice,
        harms,
        figures={"silent": found.silent, "units": found.number, "where": found.where},
    )


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {"dead units": units}
