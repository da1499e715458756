"""What the net looks at. Inside an input (windows of a picture, words of a text): each part is hidden in
turn, and its weight is how much the answer given loses (occlusion, Zeiler & Fergus 2014). Between inputs: an
input's cells are dealt anew among the rows, and its importance is what the metric loses (permutation
importance, Breiman 2001; Fisher, Rudin & Dominici 2019).

Neither asks how the net is built, so every model answers alike. Inputs that say the same share their
importance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.assess.base import View, short, taken
from mapsto.batch import Batch, key
from mapsto.blocks import Bars, Block, Gallery, Section
from mapsto.errors import CellError
from mapsto.measure.intervals import difference
from mapsto.metrics import Metric
from mapsto.signature import Slot

TITLE = "What does it look at?"
NET = True
SHOWN = 6  # rows whose parts are hidden: half of them the worst errors
FEWEST_PARTS, MOST_PARTS = 25, 144
ROWS, FEWEST_ROWS, BARS = 600, 100, 20  # that are permuted; and bars shown
REPEATS = 2  # deals of few rows; of many one, because as many rows more say more than a second deal
MEMORY = 3e8  # bytes of the rows that are permuted
# of log odds, or of the spread of predicted numbers: a row in which nothing moves the answer more is marked
# faintly
FAINT = 0.1


def asks(view: View) -> bool:
    return bool(view.run.signature.inputs) and bool(view.outputs())


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    inputs = view.run.signature.inputs
    inside = [slot for slot in inputs if _explained(view) and _has_parts(view, slot)]
    between = len(inputs) > 1 and any(view.output(slot).row_metric for slot in view.outputs())
    share = seconds / (len(inside) + between or 1)
    if between:
        told, found, figures["importance"] = _between(
            view, share / 2
        )  # at which its intervals are told apart well enough
        headlines.append(told)
        blocks += found
    for slot in inside:
        told, found, figures[f"inside {slot.name}"] = _inside(view, slot, share)
        headlines.append(told)
        blocks += found
    if not headlines and view.source is None:
        headlines = ["What is inside its one input cannot be looked at: the data has moved."]
    elif not headlines:
        headlines = [
            f"It has one input, '{next(iter(inputs)).name}', without parts to hide: there is nothing to tell"
            " apart."
        ]
    return Section("explanation", TITLE, " ".join(headlines), tuple(blocks), figures)


# --- between inputs: permutation importance -------------------------------------------------------


def _between(view: View, seconds: float) -> tuple[str, list[Block], dict[str, Any]]:
    names = [slot.name for slot in view.run.signature.inputs]
    tried, share = names, seconds
    if len(names) * REPEATS * view.seconds_of(FEWEST_ROWS) > seconds:
        passes = int(seconds / 2 / view.seconds_of(FEWEST_ROWS))
        tried, share = searched(Dealing.of(view, FEWEST_ROWS), names, passes), seconds / 2
    most = int(np.clip(view.rows_in(share) // len(tried), FEWEST_ROWS, ROWS))
    dealing = Dealing.of(view, most)
    repeats = min(REPEATS, max(1, most // dealing.batch.size))
    losses = {name: dealing.losses([name], repeats) for name in tried}
    headlines, blocks, figures = [], [], {}
    for slot, metric in _metrics(view).items():
        found = {name: by_output[slot] for name, by_output in losses.items()}
        order = sorted(found, key=lambda name: -found[name][0])
        best = order[0]
        counted = (
            f"{len(tried):,} of {len(names):,} inputs, found by halving; " if len(tried) < len(names) else ""
        )
        told = (
            f"most hangs on '{best}': with its cells dealt anew, {metric.name} is worse by"
            f" {short(found[best][0])}."
        )
        if not found[best][1] > 0:
            told = f"on no single input does {metric.name} hang beyond chance."
        headlines.append(view.titled(slot, told))
        shown = order[:BARS]
        caption = (
            f"what {metric.name} loses when an input's cells are dealt anew among {dealing.batch.size:,}"
            f" rows; {counted}with its 95% interval. Inputs that say the same share their importance."
        )
        value, low, high = (tuple(found[name][i] for name in shown) for i in range(3))
        blocks.append(
            Bars(tuple(shown), value, f"loss of {metric.name}", view.titled(slot, caption), low, high)
        )
        figures[slot] = {"metric": metric.name, "rows": dealing.batch.size} | {
            name: dict(zip(("value", "low", "high"), found[name], strict=True)) for name in order
        }
    return " ".join(headlines), blocks, figures


def _metrics(view: View) -> dict[str, Metric]:
    """{output: its metric that is a mean over rows}: so a loss has an interval over rows."""
    found = {slot: view.output(slot).row_metric for slot in view.outputs()}
    return {slot: metric for slot, metric in found.items() if metric is not None}


@dataclass(frozen=True)
class Dealing:
    """Rows as one batch, how the net fares on each, {output: (n, k)}, and their groups: what inputs are dealt
    anew among."""

    view: View
    batch: Batch
    before: Mapping[str, np.ndarray]
    groups: np.ndarray | None

    @classmethod
    def of(cls, view: View, most: int) -> Dealing:
        """At most `most` rows, fewer where they would not lie in memory."""
        layouts = [view.run.types["input", slot.name].layout for slot in view.run.signature.inputs]
        size = sum(
            4 * int(np.prod([side or 500 for side in layout.shape], dtype=np.int64)) for layout in layouts
        )
        rows = view.sample(int(np.clip(MEMORY / max(1, size), 20, most)), "permuted")
        batch = view.store.batch(rows)
        return cls(view, batch, _statistics(view, batch), view.group_of(rows))

    def losses(self, inputs: Sequence[str], repeats: int) -> dict[str, tuple[float, float, float]]:
        """{output: (what its metric loses with the cells of these inputs dealt anew together, low, high)}:
        each row's loss is the mean of the repeats, the interval is over rows, or over whole groups."""
        after: dict[str, Any] = {}
        for repeat in range(repeats):
            order = np.random.default_rng(key(self.view.seed, "permuted", repeat)).permutation(
                self.batch.size
            )
            dealt = {**self.batch.inputs, **{name: taken(self.batch.inputs[name], order) for name in inputs}}
            for slot, found in _statistics(self.view, dataclasses.replace(self.batch, inputs=dealt)).items():
                after[slot] = after.get(slot, 0) + found / repeats
        return {
            slot: self._loss(metric, self.before[slot], after[slot])
            for slot, metric in _metrics(self.view).items()
        }

    def _loss(self, metric: Metric, before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
        known = ~np.isnan(before).any(1)
        better, worse = (
            (after[known], before[known]) if metric.higher_is_better else (before[known], after[known])
        )
        return difference(better, worse, None if self.groups is None else self.groups[known])


def searched(dealing: Dealing, names: Sequence[str], passes: int) -> list[str]:
    """Of many inputs those that matter most, at most as many as can be told well in as many passes: the group
    of inputs whose cells, dealt anew together, cost most is halved, and again, until single ones are left or
    the passes are spent."""
    spread = {
        slot: max(float(np.nanstd(found[:, 0])), 1e-12) for slot, found in dealing.before.items()
    }  # outputs have units of their own
    groups: list[tuple[float, list[str]]] = [(0.0, list(names))]
    singles: list[tuple[float, list[str]]] = []
    for _ in range(max(1, passes // 2)):
        groups.sort(key=lambda group: group[0])
        _, worst = groups.pop()
        for half in (worst[: len(worst) // 2], worst[len(worst) // 2 :]):
            loss = max(found[0] / spread[slot] for slot, found in dealing.losses(half, 1).items())
            (singles if len(half) == 1 else groups).append((loss, half))
        if not groups:
            break
    most = max(1, passes // REPEATS)
    found = [single[0] for _, single in sorted(singles, key=lambda single: -single[0])]
    return (found or list(names))[:most]


def _statistics(view: View, batch: Batch) -> dict[str, np.ndarray]:
    """{output: its metric's statistics of each row (n, k)}."""
    size = view.learner.evaluation_batch
    found = view.predicted(batch.slice(low, low + size) for low in range(0, batch.size, size))
    return {
        slot: np.asarray(metric.rows(found.predicted[slot], found.target[slot]), np.float64)
        for slot, metric in _metrics(view).items()
    }


# --- inside an input: what is hidden costs --------------------------------------------------------


def _explained(view: View) -> list[str]:
    """Outputs of which it can be said how much an answer loses."""
    return view.outputs(lambda output: output.effect is not None)


def _has_parts(view: View, slot: Slot) -> bool:
    try:
        return any(
            view.run.types["input", slot.name].parts(value, 4) for value in view.values(slot, view.looked[:5])
        )
    except CellError:
        return False


def _inside(view: View, slot: Slot, seconds: float) -> tuple[str, list[Block], dict[str, Any]]:
    output = _explained(view)[0]
    column_type = view.run.types["input", slot.name]
    rows = _few(view, output)
    most = int(np.clip(view.rows_in(seconds) // max(1, len(rows)), FEWEST_PARTS, MOST_PARTS))
    least = FAINT * view.output(output).spread(view.held.predicted[output])
    marked, shares = [], []
    for item, row, value in zip(view.items(output, rows), rows, view.values(slot, rows), strict=True):
        hidden = column_type.parts(value, most)
        if hidden:
            effect = _effect(view, output, int(row), slot.name, hidden)
            weights = effect / max(float(np.abs(effect).max()), least)
            drawn = column_type.marked(value, weights.tolist())
            lines = tuple(
                line for line in item.lines if not (drawn.pieces and line.startswith(f"{slot.name}: "))
            )
            marked.append(
                dataclasses.replace(
                    item,
                    picture=drawn.picture or item.picture,
                    pieces=drawn.pieces or item.pieces,
                    lines=lines,
                )
            )
            shares.append(_half(np.abs(effect)))
    share = float(np.mean(shares)) if shares else float("nan")
    told = (
        f"In '{slot.name}' half of what moves its answer lies in {share:.0%} of the parts, on average over"
        f" {len(marked)} rows."
    )
    caption = "what moves the answer given: red (or positive) speaks for it, blue (or negative) against it."
    caption += (
        f" Each part is hidden in turn. {'Half of the rows are its worst errors.' if len(marked) > 1 else ''}"
    )
    blocks: list[Block] = [Gallery(tuple(marked), f"{slot.name}: {caption}")]
    return told, blocks, {"output": output, "rows": rows.tolist(), "half_in_share": share}


def _few(view: View, output: str) -> np.ndarray:
    """A few rows of `looked`: the worst errors, and others at random."""
    worst = view.worst(output)[: SHOWN // 2]
    others = np.setdiff1d(view.fair, worst)
    draw = np.random.default_rng(key(view.seed, "explanation", output))
    return np.concatenate([worst, np.sort(draw.permutation(others)[: SHOWN - len(worst)])])


def _effect(view: View, output: str, row: int, slot: str, hidden: Sequence[Any]) -> np.ndarray:
    """(P,): how much the answer given to a row loses with each part hidden."""
    clean = view.predicted(iter([view.store.batch(np.array([row]))])).predicted[output]
    size = view.learner.evaluation_batch
    pieces = (hidden[low : low + size] for low in range(0, len(hidden), size))
    found = view.predicted(
        view.batch_of(np.full(len(piece), row), {slot: piece}) for piece in pieces
    ).predicted[output]
    effect = view.output(output).effect
    assert effect is not None
    return effect(clean, found)


def _half(size: np.ndarray) -> float:
    """The smallest share of the parts that holds half of all effect."""
    ordered = np.sort(size)[::-1].cumsum()
    return (
        float((np.searchsorted(ordered, ordered[-1] / 2) + 1) / len(size))
        if len(size) and ordered[-1] > 0
        else 1.0
    )
