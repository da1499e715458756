"""What comes in: scale, a column that gives the answer away, and inputs that nobody listens to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mapsto.checks.base import read_findings, to_drop
from mapsto.doctor._probes.activity import watched
from mapsto.doctor._probes.importance import MOST_INPUTS, heard_at_first, importance
from mapsto.doctor.base import Issue, NotMeasurable, Subject, listed

# He's and Xavier's first weights take inputs of size 1; at 30 times that the first outputs, and their errors,
# are 30 times too large
SCALE = 30.0
# standard deviations that hold nine tenths of a column's values: the rest of its range is one outlier's
SQUEEZED = 0.02
SOLVED = 0.9  # share of a constant answer's loss that is gone on rows held back,
ALONE, OTHERS = (
    0.9,
    0.05,
)  # with one cell doing nearly all of it, and no other input more than a twentieth of that
LEAK_HARMS = ("overfitting", "learned_to_ignore", "past_best", "same_answer")
HARMS = (
    "start_loss",
    "exploding",
    "rate_high",
    "rate_low",
    "units_died",
    "dead_units",
    "underfitting",
    "overfitting",
    "vanishing",
)
HARMS += ("stopped_early", "past_best", "same_answer", "learned_to_ignore", "no_signal", "label_noise")


def unscaled(patient: Subject) -> Iterable[Issue]:
    """The first layer of the fresh net is given values far from 1."""
    layers = watched(patient, fresh=True).layers
    if not layers or not layers[0].size > SCALE:
        return
    sizes = {
        name: float(field.float().square().mean().sqrt())
        for name, field in patient.learned.inputs.items()
        if isinstance(field, Tensor)
    }
    seen = f"; batches hold {max(sizes.values()):.3g}" if sizes and math.isfinite(max(sizes.values())) else ""
    yield Issue(
        "unscaled",
        f"inputs are not scaled: the first layer ('{layers[0].where}') is given values of size"
        f" {layers[0].size:,.0f} (root mean square), where first weights are made for 1{seen}",
        "give the net standardised values (types do: take what they collate as it is), or a norm before the"
        " first layer",
        HARMS,
        figures={"size": layers[0].size, "where": layers[0].where},
    )


def squeezed(patient: Subject) -> Iterable[Issue]:
    """A column of numbers whose values lie so close together, beside an outlier, that scaling leaves nothing
    of them."""
    found = {}
    rows = patient.learned.rows
    raw = patient.store.raw(rows.cpu().numpy()) if rows is not None else {}
    for name, field in patient.learned.inputs.items():
        cells = raw.get(("input", name))
        if (
            isinstance(cells, Tensor)
            and cells.ndim == 1
            and cells.is_floating_point()
            and isinstance(field, Tensor)
            and field.ndim == 2
        ):
            width = _width(cells.double().cpu().numpy(), field[:, 0].double().cpu().numpy())
            if width < SQUEEZED:
                found[name] = width
    if found:
        worst = min(found, key=lambda name: found[name])
        yield Issue(
            "squeezed",
            f"outliers squeeze {listed(map(repr, found))}: nine tenths of '{worst}' lie within"
            f" {found[worst]:.2g} standard deviations",
            f"a logarithm ({worst}:number(log=true)), or mend the outliers",
            note=True,
            figures={"columns": list(found)},
        )


def _width(cells: np.ndarray, scaled: np.ndarray) -> float:
    """The range of nine tenths of the scaled values; inf where few cells differ. A column that is mostly zero
    is no fault: its commonest value is left out."""
    known = np.isfinite(cells)
    cells, scaled = cells[known], scaled[known]
    if len(np.unique(cells)) <= 10:
        return math.inf
    usual = scaled[cells != np.median(cells)]
    return float(np.subtract(*np.quantile(usual, [0.95, 0.05])))


def leakage(patient: Subject) -> Iterable[Issue]:
    """A cell that decides the answer alone; or what the data gate found before the training, and was told to
    let through."""
    known = read_findings(patient.run.path)
    stopped = [finding for finding in known if finding.level == "stop"]
    try:
        measured = list(_alone(patient))
    except NotMeasurable:
        if not stopped:
            raise
        measured = []
    if measured:
        through = "; the data gate found it too, and was told to let it through" if stopped else ""
        yield from (replace(one, what=one.what + through) for one in measured)
        return
    for finding in stopped:
        what = f"{finding.what}; the data gate was told to let it through ({finding.count:,} rows looked at)"
        advice = (
            f"are these known before the answer is? If not: {to_drop(finding.columns)}"
            if finding.columns
            else finding.fix
        )
        yield Issue(
            "leakage",
            what,
            advice,
            LEAK_HARMS,
            figures={"inputs": list(finding.columns), "rows": finding.count},
        )


def _alone(patient: Subject) -> Iterable[Issue]:
    """One cell decides the answer: with its values dealt to other rows nothing is left, with any other
    input's nearly nothing is lost. A picture or a text may rightly decide alone; a cell that does is mostly
    the answer itself, or what follows from it.
    """
    if len(patient.run.signature.inputs) < 2:
        return
    heard = importance(patient)
    for slot, losses in patient.held_losses.items():
        worse = {name: one.worse[slot] for name, one in heard.items()}
        top = max(worse, key=lambda name: worse[name])
        rest = max(value for name, value in worse.items() if name != top)
        cell = patient.run.types["input", top].layout.shape == ()
        if (
            cell
            and losses.explained > SOLVED
            and worse[top] > ALONE * (losses.constant - losses.mean)
            and rest < OTHERS * worse[top]
        ):
            yield Issue(
                "leakage",
                f"'{top}' gives '{slot}' away: with its values dealt to other rows the loss rises from"
                f" {losses.mean:.2g} to {losses.mean + worse[top]:.2g}, with those of any other input by at"
                f" most {max(0.0, rest):.2g}; a constant answer costs {losses.constant:.2g}",
                f"is '{top}' known before the answer is? If not: --drop {top}",
                LEAK_HARMS,
                figures={"input": top, "output": slot, "rise": worse[top], "next": rest},
            )


def ignored(patient: Subject) -> Iterable[Issue]:
    """No path from an input to any answer; one answer for all rows; or an input the net learned to do
    without."""
    try:
        heard = {name: one.change for name, one in importance(patient).items()}
    except NotMeasurable:
        heard = {}
    first = heard_at_first(patient)
    varied = [name for name in first if _varies(patient.learned.inputs[name])]
    if heard and varied and all(math.isnan(value) for value in heard.values()):
        yield Issue(
            "same_answer",
            f"the net gives the same answer for all of {patient.held.size:,} rows: it ignores its inputs",
            "look at the other complaints first; can it learn anything? mapsto doctor RUN"
            " --overfit-one-batch",
            ("underfitting", "stopped_early"),
            figures={"rows": patient.held.size},
        )
        return
    deaf = [name for name in varied if first[name] == 0 and heard.get(name, 0) == 0]
    if deaf:
        yield Issue(
            "never_heard",
            f"the net ignores {listed(map(repr, deaf))}: its outputs stay the same, bit for bit, whatever"
            " stands there",
            "let the model's body use these inputs, or leave them out of the signature",
            figures={"inputs": deaf},
        )
    quiet = [
        name
        for name in varied
        if name not in deaf and name in heard and heard[name] < 1e-3 and first[name] > 1e-2
    ]
    if quiet:
        yield Issue(
            "learned_to_ignore",
            f"the net learned to do without {listed(map(repr, quiet))}: other values there change its outputs"
            " by under 0.1% of their spread",
            "they may tell nothing that others do not: leaving them out (--drop) costs nothing",
            note=True,
            figures={"inputs": quiet},
        )


def _varies(field: object) -> bool:
    return (
        not isinstance(field, Tensor)
        or len(torch.unique(field.flatten(1) if field.ndim > 1 else field, dim=0)) > 1
    )


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {
    "inputs that are not scaled": unscaled,
    "columns squeezed by outliers": squeezed,
    f"leakage (of the first {MOST_INPUTS} inputs)": leakage,
    f"ignored inputs (of the first {MOST_INPUTS})": ignored,
}
