"""What the net looks at. Inside an input (windows of a picture, words of a text): each part is hidden in turn, and its weight is how
much the answer given loses (occlusion, Zeiler & Fergus 2014). Between inputs: an input's cells are dealt anew among the rows, and its
importance is what the metric loses (permutation importance, Breiman 2001; Fisher, Rudin & Dominici 2019).

Neither asks how the net is built, so every model answers alike. Inputs that say the same share their importance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapsto.assess.base import View, taken
from mapsto.batch import Batch, key
from mapsto.blocks import Bars, Block, Gallery, Section
from mapsto.errors import CellError
from mapsto.measure.answers import plain_metric
from mapsto.measure.baseline import chosen
from mapsto.measure.intervals import difference
from mapsto.metrics import Arrays, Metric
from mapsto.signature import Slot

TITLE = "What does it look at?"
NET = True
SHOWN = 6  # rows whose parts are hidden: half of them the worst errors
FEWEST_PARTS, MOST_PARTS = 25, 144
REPEATS, ROWS, FEWEST_ROWS, SCREENED, BARS = 3, 2_000, 100, 150, 20  # of the permutations; inputs after the first look, and bars shown
TINY = 1e-6
FAINT = 0.1  # of log odds, or of the spread of predicted numbers: a row in which nothing moves the answer more is marked faintly


def asks(view: View) -> bool:
    return bool(view.run.signature.inputs) and bool(view.outputs())


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    inputs = view.run.signature.inputs
    inside = [slot for slot in inputs if _has_parts(view, slot)]
    between = len(inputs) > 1 and any(plain_metric(view.room(slot)) for slot in view.outputs())
    share = seconds / (len(inside) + between or 1)
    if between:
        told, found, figures["importance"] = _between(view, share)
        headlines.append(told)
        blocks += found
    for slot in inside:
        told, found, figures[f"inside {slot.name}"] = _inside(view, slot, share)
        headlines.append(told)
        blocks += found
    if not headlines and view.source is None:
        headlines = ["What is inside its one input cannot be looked at: the data has moved."]
    elif not headlines:
        headlines = [f"It has one input, '{next(iter(inputs)).name}', without parts to hide: there is nothing to tell apart."]
    return Section("explanation", TITLE, " ".join(headlines), tuple(blocks), figures)


# --- between inputs: permutation importance ------------------------------------------------------------------------------------


def _between(view: View, seconds: float) -> tuple[str, list[Block], dict[str, Any]]:
    names = [slot.name for slot in view.run.signature.inputs]
    passes = max(view.rows_in(seconds), FEWEST_ROWS * REPEATS)
    tried = [names[i] for i in chosen(len(names), max(2, passes // FEWEST_ROWS), key(view.seed, "inputs"))]  # of thousands: a sample
    if len(tried) > SCREENED:  # a first look with one repeat at few rows
        first = _permuted(view, tried, FEWEST_ROWS, 1)
        size = {name: max(abs(loss[0]) for loss in by_output.values()) for name, by_output in first.items()}
        tried = sorted(tried, key=lambda name: -size[name])[: min(SCREENED, max(2, passes // (FEWEST_ROWS * REPEATS)))]
    rows = min(int(np.clip(passes // (len(tried) * REPEATS), FEWEST_ROWS, ROWS)), len(view.held.rows))
    losses = _permuted(view, tried, rows, REPEATS)
    headlines, blocks, figures = [], [], {}
    for slot, metric in _metrics(view).items():
        found = {name: by_output[slot] for name, by_output in losses.items()}
        order = sorted(found, key=lambda name: -found[name][0])
        best = order[0]
        counted = f"{len(tried):,} of {len(names):,} inputs tried, " if len(tried) < len(names) else ""
        headlines.append(view.titled(slot, f"most hangs on '{best}': with its cells dealt anew, {metric.name} is worse by {found[best][0]:.3g}."))
        shown = order[:BARS]
        caption = f"what {metric.name} loses when an input's cells are dealt anew among the rows; {counted}the mean of {REPEATS} deals"
        caption += f" on {rows:,} rows, with its 95% interval. Inputs that say the same share their importance."
        value, low, high = (tuple(found[name][i] for name in shown) for i in range(3))
        blocks.append(Bars(tuple(shown), value, f"loss of {metric.name}", view.titled(slot, caption), low, high))
        figures[slot] = {"metric": metric.name, "rows": rows} | {
            name: dict(zip(("value", "low", "high"), found[name], strict=True)) for name in order
        }
    return " ".join(headlines), blocks, figures


def _metrics(view: View) -> dict[str, Metric]:
    """{output: its metric that is a mean over rows}: so a loss has an interval over rows."""
    found = {slot: plain_metric(view.room(slot)) for slot in view.outputs()}
    return {slot: metric for slot, metric in found.items() if metric is not None}


def _permuted(view: View, inputs: Sequence[str], most: int, repeats: int) -> dict[str, dict[str, tuple[float, float, float]]]:
    """{input: {output: (what its metric loses, low, high)}} on at most `most` rows, which lie in memory as one batch: each row's loss is
    the mean of the repeats, the interval is over rows, or over whole groups."""
    size = sum(np.dtype(view.run.types["input", name].layout.dtype).itemsize * 4 * _numbers(view, name) for name in inputs)
    batch = view.store.batch(view.sample(int(np.clip(3e8 / max(1, size), 20, most)), "permuted"))
    before, groups = _statistics(view, batch), None if view.groups is None else view.group_of(batch.rows.cpu().numpy())  # type: ignore[union-attr]
    losses: dict[str, dict[str, tuple[float, float, float]]] = {}
    for name in inputs:
        after: dict[str, np.ndarray] = {}
        for repeat in range(repeats):
            order = np.random.default_rng(key(view.seed, "permuted", repeat)).permutation(batch.size)
            dealt = dataclasses.replace(batch, inputs={**batch.inputs, name: taken(batch.inputs[name], order)})
            for slot, found in _statistics(view, dealt).items():
                after[slot] = after.get(slot, 0) + found / repeats
        losses[name] = {slot: _loss(metric, before[slot], after[slot], groups) for slot, metric in _metrics(view).items()}
    return losses


def _loss(metric: Metric, before: np.ndarray, after: np.ndarray, groups: np.ndarray | None) -> tuple[float, float, float]:
    known = ~np.isnan(before).any(1)
    groups = None if groups is None else groups[known]
    better, worse = (after[known], before[known]) if metric.higher_is_better else (before[known], after[known])
    return difference(better, worse, groups)


def _numbers(view: View, name: str) -> int:
    return int(np.prod([side or 500 for side in view.run.types["input", name].layout.shape], dtype=np.int64))


def _statistics(view: View, batch: Batch) -> dict[str, np.ndarray]:
    """{output: its metric's statistics of each row (n, k)}."""
    size = view.learner.evaluation_batch
    found = view.predicted(batch.slice(low, low + size) for low in range(0, batch.size, size))
    return {slot: np.asarray(metric.rows(found.predicted[slot], found.target[slot]), np.float64) for slot, metric in _metrics(view).items()}


# --- inside an input: what is hidden costs ---------------------------------------------------------------------------------------


def _has_parts(view: View, slot: Slot) -> bool:
    try:
        return any(view.run.types["input", slot.name].parts(value, 4) for value in view.values(slot, view.looked[:5]))
    except CellError:
        return False


def _inside(view: View, slot: Slot, seconds: float) -> tuple[str, list[Block], dict[str, Any]]:
    output = view.outputs()[0]
    room = view.run.types["input", slot.name]
    rows = _few(view, output)
    most = int(np.clip(view.rows_in(seconds) // max(1, len(rows)), FEWEST_PARTS, MOST_PARTS))
    least = FAINT * (1 if view.kind(output) != "regression" else max(float(view.held.predicted[output]["value"].std()), 1e-12))
    marked, shares = [], []
    for item, row, value in zip(view.items(output, rows), rows, view.values(slot, rows), strict=True):
        hidden = room.parts(value, most)
        if hidden:
            effect = _effect(view, output, int(row), slot.name, hidden)
            weights = effect / max(float(np.abs(effect).max()), least)
            drawn = room.marked(value, weights.tolist())
            lines = tuple(line for line in item.lines if not (drawn.pieces and line.startswith(f"{slot.name}: ")))
            marked.append(dataclasses.replace(item, picture=drawn.picture or item.picture, pieces=drawn.pieces or item.pieces, lines=lines))
            shares.append(_half(np.abs(effect)))
    share = float(np.mean(shares)) if shares else float("nan")
    told = f"In '{slot.name}' half of what moves its answer lies in {share:.0%} of the parts, on average over {len(marked)} rows."
    caption = "what moves the answer given: red (or positive) speaks for it, blue (or negative) against it."
    caption += f" Each part is hidden in turn. {'Half of the rows are its worst errors.' if len(marked) > 1 else ''}"
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
    found = view.predicted(view.batch_of(np.full(len(piece), row), {slot: piece}) for piece in pieces).predicted[output]
    return EFFECTS[view.kind(output)](clean, found)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    p = np.clip(probability.astype(np.float64), TINY, 1 - TINY)
    return np.log(p / (1 - p))


def _of_class(clean: Arrays, found: Arrays) -> np.ndarray:
    """The log odds of the class said: they still move where the probability is near 1."""
    said = int(clean["value"][0])
    return _log_odds(clean["probability"][0, said]) - _log_odds(found["probability"][:, said])


def _of_labels(clean: Arrays, found: Arrays) -> np.ndarray:
    """Of the surest label."""
    surest = int(clean["probability"][0].argmax())
    return _log_odds(clean["probability"][0, surest]) - _log_odds(found["probability"][:, surest])


EFFECTS: Mapping[str, Any] = {
    "classes": _of_class,
    "labels": _of_labels,
    "regression": lambda clean, found: clean["value"][0].astype(np.float64) - found["value"],
}


def _half(size: np.ndarray) -> float:
    """The smallest share of the parts that holds half of all effect."""
    ordered = np.sort(size)[::-1].cumsum()
    return float((np.searchsorted(ordered, ordered[-1] / 2) + 1) / len(size)) if len(size) and ordered[-1] > 0 else 1.0
