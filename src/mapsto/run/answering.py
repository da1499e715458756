"""How a run answers new rows: read and encoded as its own were, put through its net, told in the data's own
words. `run` is a `mapsto.run.Run`, whose methods these are the work of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mapsto.batch import Batches
from mapsto.cells import shorten
from mapsto.errors import DataError, RunError, SignatureError
from mapsto.files import COPY
from mapsto.models.base import Types
from mapsto.signature import Signature, Slot
from mapsto.source import Chunk, Source

if TYPE_CHECKING:
    from mapsto.batch import Batch
    from mapsto.learners.base import Learner
    from mapsto.prediction import Answer, Measured, Prediction
    from mapsto.source import Chunk, Source

PIECE = 1024  # rows predicted at once


class NewRows(Batches):
    """Rows of a source that nobody has counted, each once."""

    def __init__(self, batches: Callable[[], Iterator[Batch]]):
        self._batches = batches

    def iterate(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        return self._batches()


def answers(
    run: Any, source: Source, learner: Learner | None = None, support: Batch | None = None
) -> Iterator[list[Answer]]:
    """Answers to a source's rows, piece by piece, so that any number of rows can be answered. learner:
    the run's, searching in its own way; support: rows with answers, as `predict` takes them."""
    from mapsto.data.encode import encode_chunk
    from mapsto.data.structs import with_fields
    from mapsto.prediction import Answer

    run._refuse_nothing()
    source = with_fields(source.lines(), [slot.column for slot in run.signature.inputs])
    signature, types = located(run, source), run.types
    for chunk in source.chunks(PIECE):
        encoded, problems = encode_chunk(chunk, Signature(signature.inputs, ()), types)
        unread = {problem["row"]: f"{problem['column']}: {problem['why']}" for problem in problems}
        found = locate_cells(
            signature,
            run.signature.outputs,
            run.types,
            chunk,
            _predictions(run, _batches(run, signature, encoded, len(chunk), support), learner),
            unread,
        )
        yield [
            (
                Answer(chunk.where[i], {}, unread[i])
                if i in unread
                else Answer(chunk.where[i], {slot: values[i] for slot, values in found.items()})
            )
            for i in range(len(chunk))
        ] + [Answer(bad.where, {}, bad.why) for bad in chunk.bad]


def _batches(
    run: Any, signature: Signature, encoded: Mapping, size: int, support: Batch | None = None
) -> Iterator[Batch]:
    step = run.learner.evaluation_batch
    for low in range(0, size, step):
        batch = batch_of(run, signature, encoded, low, min(size, low + step))
        yield batch if support is None else replace(batch, parts={"support": support})


def support(run: Any, data: Any) -> Batch:
    """Rows with answers as one batch. DataError where one cannot be read."""
    _, source = run._source(data)
    unread: list[str] = []
    signature, found = located(run, source, targets=True), None
    for chunk in source.chunks(PIECE):
        encoded, kept = _encoded(run, chunk, signature, unread)
        found = found or batch_of(run, signature, encoded, 0, kept)
    if unread or found is None or found.size < 1:
        why = unread[0] if unread else "there are no rows"
        raise DataError(f"{source.name}: cannot be answered by ({why}).\nGive whole rows, with answers.")
    return found


def _predictions(run: Any, batches: Iterator[Batch], learner: Learner | None) -> dict[str, list[Prediction]]:
    asked: Learner = learner or run.learner
    heads = dict(run.model.heads.items())  # type: ignore[union-attr, operator]
    parts: dict[str, list[Prediction]] = {}
    for batch in batches:
        found, unsure = _arrays(run, asked, batch)
        for slot, arrays in found.items():
            known = run.calibration.get(slot, {})
            output = run.output(slot)
            made = output.predictions(heads[slot], _calibrated(run, slot, arrays), known)
            parts.setdefault(slot, []).extend(
                replace(one, unsure=far) for one, far in zip(made, unsure, strict=True)
            )
    return parts


def _arrays(
    run: Any, learner: Learner, batch: Batch
) -> tuple[dict[str, dict[str, np.ndarray]], list[bool | None]]:
    """What the heads predict for a batch, and whether each row is far from the training rows; None where
    the run does not know."""
    if run.novelty is None or run._looking is None:
        return learner.arrays(batch), [None] * batch.size
    with run._looking.attached() as heard:
        arrays = learner.arrays(batch)
    return arrays, (run.novelty.distance(run._looking.score(batch, heard[0])) > 1).tolist()


def batch_of(run: Any, signature: Signature, encoded: Mapping, low: int, high: int) -> Batch:
    """Encoded rows `low` to `high` as one batch."""
    from mapsto.data.store import collate, tensors

    raw = {spot: tensors(value[low:high]) for spot, value in encoded.items()}
    return collate(signature, run.types, raw, high - low, None, None, None)


def evaluate(
    run: Any, data: Any, emit: Callable[[Mapping[str, Any]], None] | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """{output: {metric: {"value", "low", "high", "n", "definition"}}} on rows with known answers.
    DataError when there are none; rows that cannot be read are left out, and `emit` hears of them."""
    from mapsto.measure.scores import score, scored

    _, source = run._source(data)
    signature = located(run, source, targets=True)
    unread: list[str] = []
    found = _measured(run, source, signature, unread)
    if unread and emit:
        emit(
            {
                "event": "note",
                "text": f"{len(unread):,} rows cannot be read and are left out; the first: {unread[0]}",
            }
        )
    if not len(found):
        raise DataError(
            f"{source.name}: expected rows to evaluate on, found none that can be read.\nThe run learned:"
            f" {run.signature}"
        )
    scores = {}
    for slot in run.signature.outputs:
        metrics = run.metrics_of(slot.name)
        if not found.whole:
            scores[slot.name] = scored(metrics, found.statistics[slot.name], found.known[slot.name])
            continue
        sample = found.sample
        arrays = _calibrated(run, slot.name, sample.predicted[slot.name])
        scores[slot.name] = score(metrics, arrays, sample.target[slot.name], sample.present[slot.name])
    return scores


def _calibrated(run: Any, slot: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """RunError where the calibration that the record holds is of other answers."""
    try:
        return run.output(slot).calibrated(arrays, run.calibration.get(slot, {}))
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        raise RunError(
            f"{run.path / 'run.json'}: is damaged (calibration.{slot}: {shorten(problem, 80)}).\n{COPY}"
        ) from problem


def _measured(run: Any, source: Source, signature: Signature, unread: list[str]) -> Measured:
    """What the learner says of rows with answers. unread gets a line for each that cannot be read."""
    from mapsto.data.store import stored
    from mapsto.prediction import Keep

    keep = Keep(calibrated=partial(_calibrated, run))
    if not run.learner.packs:
        rows = NewRows(lambda: _readable(run, source, signature, unread))
        return run.learner.measure("test", replace(keep, store=rows))
    store = stored(source, signature, run.types)
    store.device = run.learner.device
    unread += [f"{row['where']}: {' '.join(row['why'].split())}" for row in (*store.bad, *store.problems)]
    return run.learner.measure("test", replace(keep, store=store))


def _readable(run: Any, source: Source, signature: Signature, unread_rows: list[str]) -> Iterator[Batch]:
    for chunk in source.chunks(PIECE):
        taken, kept = _encoded(run, chunk, signature, unread_rows)
        yield from _batches(run, signature, taken, kept)


def _encoded(
    run: Any, chunk: Chunk, signature: Signature, unread_rows: list[str]
) -> tuple[dict[tuple[str, str], Any], int]:
    """The cells of the rows that can be read, and how many these are; a line for each of the others."""
    from mapsto.data.encode import encode_chunk

    encoded, problems = encode_chunk(chunk, signature, run.types)
    unread_rows += [f"{bad.where}: {bad.why}" for bad in chunk.bad]
    unread_rows += [
        f"{problem['where']}, {problem['column']!r}: {' '.join(problem['why'].split())}"
        for problem in problems
    ]
    unread = {problem["row"] for problem in problems}
    keep = [i for i in range(len(chunk)) if i not in unread]
    taken = {
        spot: [value[i] for i in keep] if isinstance(value, list) else value[keep]
        for spot, value in encoded.items()
    }
    return taken, len(keep)


@torch.no_grad()
def embed(run: Any, data: Any) -> np.ndarray:
    """(n, D) float32: what the net knows of each row before its heads. Rows that cannot be read are
    nan."""
    from mapsto.data.encode import encode_chunk

    run._refuse_nothing()
    source = run._source(data)[1].lines()
    signature = Signature(located(run, source).inputs, ())
    parts, size = [], run.learner.evaluation_batch
    for chunk in source.chunks(PIECE):
        encoded, problems = encode_chunk(chunk, signature, run.types)
        batches = (
            batch_of(run, signature, encoded, low, min(len(chunk), low + size))
            for low in range(0, len(chunk), size)
        )
        embed: Any = run.model.embed
        found = [embed(run.learner.ready(batch).inputs).float().cpu().numpy() for batch in batches]
        parts.append(np.concatenate(found) if found else np.empty((0, 0), np.float32))
        parts[-1][[problem["row"] for problem in problems]] = np.nan
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def located(run: Any, source: Source, targets: bool = False) -> Signature:
    """The signature with this source's columns: of the same name, or the only one that can be meant."""

    def find(slot: Slot) -> Slot:
        for name in (slot.column, slot.name):
            if name in source.columns:
                return replace(slot, column=name)
        side = run.signature.outputs if slot in run.signature.outputs else run.signature.inputs
        if slot.type in source.columns and sum(other.type == slot.type for other in side) == 1:
            return replace(slot, column=slot.type)
        if (
            len(source.columns) == 1 == len(run.signature.inputs) and not targets and source.locations
        ):  # a dict or frame names its cells
            return replace(slot, column=source.columns[0])
        found = ", ".join(source.columns[:8]) + ", …" * (len(source.columns) > 8)
        raise SignatureError(
            f"{source.name}: expected a column '{slot.column}', found {found}.\nThe run learned:"
            f" {run.signature}"
        )

    outputs = tuple(find(slot) for slot in run.signature.outputs) if targets else run.signature.outputs
    return Signature(tuple(find(slot) for slot in run.signature.inputs), outputs)


def locate_cells(
    signature: Signature,
    outputs: Sequence[Slot],
    types: Types,
    chunk: Chunk,
    found: Mapping[str, Sequence[Any]],
    unread: Collection[int],
) -> dict[str, Sequence[Any]]:
    """Predictions of a chunk's rows in words, where outputs speak of places in an input; unread: rows that
    could not be read."""
    told = dict(found)
    for column_type, name in (
        (types["output", slot.name], slot.name) for slot in outputs if slot.name in found
    ):
        within = column_type.annotates(signature)
        if within is not None:
            cells = zip(found[name], chunk.columns[signature.column_of(within)], strict=True)
            told[name] = [
                one if i in unread else column_type.located(one, cell) for i, (one, cell) in enumerate(cells)
            ]
    return told
