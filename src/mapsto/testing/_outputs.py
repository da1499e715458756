"""What every kind of answer must do, and what it must do where it can more."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Padded
from mapsto.metrics import Arrays
from mapsto.outputs.base import Head, Output
from mapsto.testing._contract import contract
from mapsto.testing._types import collated, dense, stored

WIDTH = 16
STEPS = 6  # tokens of a block
Hidden = Callable[[Any], Any]  # a collated target -> what a net gives for its rows


def check_output(output: Output, cells: Sequence[Any], hidden: Hidden | None = None) -> None:
    """Hold a kind of answer to its contract on raw cells of its type, a missing one among them where it may
    be missing. hidden: what nets of width 16 give for a target, where that is not "pooled" (rows, 16) or
    "tokens" (rows, steps, 16)."""
    assert output.fields[0] == "value", "the first field is the value"
    assert len(set(output.fields)) == len(output.fields), "fields differ"
    assert all(field.isidentifier() for field in output.fields), "fields are columns of a table"
    names = [metric.name for metric in output.metrics]
    assert names and len(set(names)) == len(names), "an answer is measured, each metric by its own name"
    assert all(metric.definition for metric in output.metrics), "and each says what it is"
    row_by_row = [one is not None for one in (output.row_loss, output.wrong, output.truth)]
    assert len(set(row_by_row)) == 1, "row_loss, wrong and truth are known together"
    assert not output.link or output.trivial, "a linear model has a trivial answer beside it"
    missing = [cell for cell in cells if not _known(output, [cell]).any()]
    for some in ([], cells[:1], cells, missing, [cells[0]] * 12):
        with contract(f"{len(some)} rows are learned and predicted by its head"):
            _check_learning(output, some, hidden)
    known = [cell for cell in cells if _known(output, [cell]).any()]
    for some in (known * 12, known[:1] * 12):  # all classes, and one alone
        with contract(f"{len(some)} known rows are measured, calibrated and told"):
            _check_measuring(output, some, hidden)


def _known(output: Output, cells: Sequence[Any]) -> np.ndarray:
    present = output.type.present(stored(output.type, cells)).numpy()
    return present.reshape(len(present), -1).any(1)


def _hidden(head: Head, rows: int, target: Any) -> Any:
    torch.manual_seed(0)
    if head.expects == "pooled":
        return torch.randn(rows, WIDTH)
    if head.expects == "tokens":
        steps = dense(target).shape[1]  # a net that is handed the answer's tokens gives as many
        return torch.randn(rows, steps if head.writes else max(1, steps), WIDTH)
    return torch.randn(rows, WIDTH, 4, 4)


def _asked(output: Output, cells: Sequence[Any], hidden: Hidden | None) -> tuple[Head, Any, Any, Tensor]:
    """(its head, what the head says, the target, what of it is known)."""
    torch.manual_seed(0)
    head: Any = output.head(WIDTH)
    arrays = stored(output.type, cells)
    present = output.type.present(arrays)
    if head.writes == "next":  # learned in blocks of tokens, which a learner cuts
        target = torch.randint(1, head.vocabulary, (len(cells), STEPS)) * present[:, None]
    else:
        target = collated(output.type, arrays)
    given = _hidden(head, len(cells), target) if hidden is None else hidden(target)
    return head, head(given), target, present


def _check_learning(output: Output, cells: Sequence[Any], hidden: Hidden | None) -> None:
    """Of any number of rows, all of them missing or all alike."""
    head, said, target, present = _asked(output, cells, hidden)
    assert head.expects in ("pooled", "tokens", "map", "maps")
    losses, counts = head.loss(said, target, present)
    assert losses.shape == counts.shape == (len(cells),), "a loss and a count a row"
    assert torch.isfinite(losses).all() and (counts >= 0).all(), "finite, whatever the rows are"
    assert (losses[counts == 0] == 0).all(), "what has no label costs nothing"
    if len(cells):
        losses.sum().backward()
    assert all(one.grad is None or torch.isfinite(one.grad).all() for one in head.parameters())
    predicted = _arrays(head.predict(said))
    assert {len(values) for values in predicted.values()} == {len(cells)}, "a prediction a row"
    _check_decoding(output, head, predicted, {})


def _check_decoding(output: Output, head: Head, predicted: Arrays, fitted: Mapping[str, Any]) -> None:
    found = output.predictions(head, predicted, fitted)
    assert len(found) == len(next(iter(predicted.values()))), "a decoded answer a row"
    json.dumps([one.to_json() for one in found])
    assert all(isinstance(words, str) for words in output.describe(head, predicted, fitted))


def _check_measuring(output: Output, cells: Sequence[Any], hidden: Hidden | None) -> None:
    """Of rows whose answer is known: metrics, calibration, and what else the kind of answer can."""
    head, said, collated, present = _asked(output, cells, hidden)
    if head.writes:  # what it predicts is found by a search, or is a loss alone: the learner's
        return
    found = head.predict(said)
    stats = head.target_stats(said, collated, present)
    predicted, target = _arrays({**found, **stats}), _numpy(collated)
    for metric in output.metrics:
        statistics = np.asarray(metric.rows(predicted, target), np.float64)
        assert statistics.ndim == 2 and len(statistics) == len(cells), f"{metric.name}: a line a row"
        assert isinstance(float(metric.reduce(statistics)), float)
    fitted = output.calibrate(predicted, target)
    assert json.loads(json.dumps(fitted)) == fitted, "a calibration is JSON"
    honest = output.calibrated(predicted, fitted)
    assert set(honest) >= set(predicted), "calibrating leaves nothing out"
    _check_decoding(output, head, honest, fitted)
    if output.rowwise:
        _check_rows(output, head, honest, target)
    if output.link:
        _check_plain(output, target, present.numpy())
    _check_questions(output, honest, target, fitted)


def _check_rows(output: Output, head: Head, predicted: Arrays, target: np.ndarray) -> None:
    """A perfect answer is not wrong, costs least, and no metric prefers another."""
    assert output.row_loss is not None and output.wrong is not None and output.truth is not None
    perfect = {**predicted, **output.truth(target, predicted)}
    assert output.row_loss(predicted, target).shape == output.wrong(predicted, target).shape == (len(target),)
    best, other = output.row_loss(perfect, target), output.row_loss(predicted, target)
    assert not (best > other + 1e-9).any(), "no answer costs less than the true one"
    assert output.graded or not output.wrong(perfect, target).any(), "the truth is not wrong"
    assert len(output.truths(head, target, predicted)) == len(target), "the truth in words"
    for metric in output.metrics:
        true, said = (
            metric.reduce(np.asarray(metric.rows(one, target), np.float64)) for one in (perfect, predicted)
        )
        known = not (math.isnan(true) or math.isnan(said) or math.isclose(true, said, abs_tol=1e-6))
        assert not (known and metric.better(said, true)), f"{metric.name}: nothing is better than the truth"


def _check_plain(output: Output, target: np.ndarray, present: np.ndarray) -> None:
    """The trivial answer, the same for every row, is measured like any other."""
    wanted, mask = output.as_numbers(target, present)
    assert wanted.shape == (len(target), output.width), "an answer is so many numbers"
    mean = (wanted * mask).sum(0) / np.maximum(mask.sum(0), 1)
    constant = output.from_numbers(np.repeat(mean[None], len(target), 0))
    for metric in output.metrics:
        assert len(metric.rows(constant, target)) == len(target), f"{metric.name}: of a constant answer"


def _check_questions(
    output: Output, predicted: Arrays, target: np.ndarray, fitted: Mapping[str, Any]
) -> None:
    if output.confusion is not None:
        headline, _, figures = output.confusion(predicted, target)
        assert headline and json.dumps(figures)
    if output.coverage is not None and (fitted.get("set") or fitted.get("halfwidth")) is not None:
        found = output.coverage(predicted, target, fitted)
        assert len(found.inside) == len(target) and json.dumps(found.figures)
        assert found.sentence.format(told="", coverage=0.9, low=0.8, high=1.0, n=1, **found.figures)
    if output.events is not None:
        events = output.events(predicted, target, np.arange(len(target)) % 3)
        assert events.shape == (3, 3, len(output.type.classes)) and (events[2] <= events[:2].min(0)).all()
    if output.effect is not None:
        one = {name: values[:1] for name, values in predicted.items()}
        effect = output.effect(one, predicted)
        assert effect.shape == (len(target),) and effect[0] == 0, "what changes nothing has no effect"
        assert output.spread(predicted) > 0
    if output.confidence is not None:
        probability, of = output.confidence(predicted, target)
        assert len(probability) == len(of)
    if output.marked is not None:
        assert len(output.marked(predicted, target).mistakes) == len(target)
    if output.heard is not None:
        assert all(len(texts) == len(target) for texts in output.heard(predicted, target))
    same, kept = output.translate_to(output.merged_with(output), predicted, target)
    assert set(same) == set(predicted) and len(kept) == len(target), "two runs of one kind can be compared"


def _arrays(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: _numpy(value) for name, value in found.items()}


def _numpy(value: Any) -> np.ndarray:
    """(n, ...) as metrics get it; rows of unequal length as (n,) objects, each an array."""
    if isinstance(value, Padded):
        value = value.cells()
    if isinstance(value, Tensor):
        return value.detach().numpy()
    rows = np.empty(len(value), object)
    for i, row in enumerate(value):
        rows[i] = _numpy(row)
    return rows
