"""How a run answers new rows: read and encoded as its own were, put through its net, told in the data's own
words. `run` is a `mapsto.run.Run`, whose methods these are the work of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mapsto.batch import Batches
from mapsto.cells import shorten
from mapsto.errors import DataError, RunError
from mapsto.files import COPY
from mapsto.lite.rows import PIECE, answer_chunk, classes_of, kept_columns, located, read_rows
from mapsto.prediction import Answer, Wanted, with_chances
from mapsto.signature import Signature
from mapsto.source import Chunk, Source

if TYPE_CHECKING:
    from mapsto.batch import Batch
    from mapsto.learners.base import Learner
    from mapsto.prediction import Measured, Prediction

PLAIN = Wanted()


class NewRows(Batches):
    """Rows of a source that nobody has counted, each once."""

    def __init__(self, batches: Callable[[], Iterator[Batch]]):
        self._batches = batches

    def iterate(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        return self._batches()


def answers(
    run: Any,
    source: Source,
    learner: Learner | None = None,
    support: Batch | None = None,
    wanted: Wanted = PLAIN,
) -> Iterator[list[Answer]]:
    """Answers to a source's rows, piece by piece, so that any number of rows can be answered. learner:
    the run's, searching in its own way; support: rows with answers, as `predict` takes them."""
    from mapsto.data.structs import with_fields

    run.refuse_nothing()
    source = with_fields(source.lines(), [slot.column for slot in run.signature.inputs])
    kept = kept_columns(source, wanted.keep)
    signature, types = located(run, source, missing_ok=wanted.missing_ok), run.types
    classes = classes_of(run) if wanted.probabilities else {}
    for chunk in source.chunks(PIECE):
        read = read_rows(types, chunk, signature)
        batches = batches_of(run, signature, read.encoded, len(read), support)
        yield answer_chunk(run, read, predictions(run, batches, learner, classes), kept)


def batches_of(
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
        found = found or batch_of(run, signature, encoded, 0, len(kept))
    if unread or found is None or found.size < 1:
        why = unread[0] if unread else "there are no rows"
        raise DataError(f"{source.name}: cannot be answered by ({why}).\nGive whole rows, with answers.")
    return found


def predictions(
    run: Any, batches: Iterator[Batch], learner: Learner | None, classes: Mapping[str, Sequence[Any]]
) -> dict[str, list[Prediction]]:
    """classes: of outputs of which every class's probability is wanted."""
    asked: Learner = learner or run.learner
    heads = dict(run.model.heads.items())  # type: ignore[union-attr, operator]
    parts: dict[str, list[Prediction]] = {}
    for batch in batches:
        found, unsure = _arrays(run, asked, batch)
        for slot, arrays in found.items():
            output = run.output(slot)
            shown = _calibrated(run, slot, arrays)
            with _calibration(run, slot):
                made = output.predictions(heads[slot], shown, run.calibration.get(slot, {}))
            if slot in classes:
                made = with_chances(made, classes[slot], output.chances(shown))
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
        if run.reference is not None:
            run.reference.arrays(batch)
    return arrays, (run.novelty.distance(run._looking.score(batch, heard[0])) > 1).tolist()


def batch_of(run: Any, signature: Signature, encoded: Mapping, low: int, high: int) -> Batch:
    """Encoded rows `low` to `high` as one batch."""
    from mapsto.data.store import collate, tensors

    raw = {spot: tensors(value[low:high]) for spot, value in encoded.items()}
    return collate(signature, run.types, raw, high - low, None, None, None)


def evaluate(
    run: Any, data: Any, emit: Callable[[Mapping[str, Any]], None] | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """{output: {metric: {"value", "low", "high", "n", "definition"}}} on rows with known answers; where the
    run has learned from some of them, also "learned", their number, and "new", the same figures on the
    others, {} where there are none; "unread", how many rows cannot be read and are left out, where there are
    any. DataError when there are no rows; of what is left out and of what it learned from `emit` hears."""
    from mapsto.run.known_rows import in_words, learned_rows

    _, source = run._source(data)
    signature = located(run, source, targets=True)
    unread: list[str] = []
    found, kept = _measured(run, source, signature, unread)
    if unread and emit:
        text = f"{len(unread):,} rows cannot be read and are left out; the first: {unread[0]}"
        emit({"event": "note", "text": text})
    if not len(found):
        raise DataError(
            f"{source.name}: expected rows to evaluate on, found none that can be read.\nThe run learned:"
            f" {run.signature}"
        )
    scores = _scores(run, found)
    for figures in (one for metrics in scores.values() for one in metrics.values() if unread):
        figures["unread"] = len(unread)
    learned = learned_rows(run, source, signature)
    learned = None if learned is None else (learned if kept is None else learned[kept])[found.rows]
    if learned is None or not learned.any():
        return scores
    new = {} if learned.all() else _scores(run, found.take(~learned))
    if emit:
        emit({"event": "note", "text": in_words(learned, new)})
    for name, metrics in scores.items():
        for metric, figures in metrics.items():
            figures |= {"learned": int(learned.sum()), "new": new.get(name, {}).get(metric, {})}
    return scores


def _scores(run: Any, found: Measured) -> dict[str, dict[str, dict[str, Any]]]:
    from mapsto.measure.scores import score, scored

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
    with _calibration(run, slot):
        return run.output(slot).calibrated(arrays, run.calibration.get(slot, {}))


@contextmanager
def _calibration(run: Any, slot: str) -> Iterator[None]:
    """RunError where the calibration that the record holds is of other answers."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        raise RunError(
            f"{run.path / 'run.json'}: is damaged (calibration.{slot}: {shorten(problem, 80)}).\n{COPY}"
        ) from problem


def _measured(
    run: Any, source: Source, signature: Signature, unread: list[str]
) -> tuple[Measured, list[int] | None]:
    """What the learner says of rows with answers; and which of the source's rows these are, where they are
    not all of them. unread gets a line for each that cannot be read."""
    from mapsto.data.store import stored
    from mapsto.prediction import Keep

    keep = Keep(calibrated=partial(_calibrated, run))
    if not run.learner.packs:
        kept: list[int] = []
        rows = NewRows(lambda: _readable(run, source, signature, unread, kept))
        return run.learner.measure("test", replace(keep, store=rows)), kept
    store = stored(source, signature, run.types)
    store.device = run.learner.device
    unread += [f"{row['where']}: {' '.join(row['why'].split())}" for row in (*store.bad, *store.problems)]
    return run.learner.measure("test", replace(keep, store=store)), None


def _readable(
    run: Any, source: Source, signature: Signature, unread_rows: list[str], kept: list[int]
) -> Iterator[Batch]:
    first = 0
    for chunk in source.chunks(PIECE):
        taken, keep = _encoded(run, chunk, signature, unread_rows)
        kept += [first + i for i in keep]
        first += len(chunk)
        yield from batches_of(run, signature, taken, len(keep))


def _encoded(
    run: Any, chunk: Chunk, signature: Signature, unread_rows: list[str]
) -> tuple[dict[tuple[str, str], Any], list[int]]:
    """The cells of the rows that can be read, and which these are; a line for each of the others."""
    from mapsto.data.encode_chunk import encode_chunk

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
    return taken, keep


@torch.no_grad()
def embed(run: Any, data: Any) -> np.ndarray:
    """(n, D) float32: what the net knows of each row before its heads. Rows that cannot be read are
    nan."""
    from mapsto.data.encode_chunk import encode_chunk

    run.refuse_nothing()
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
