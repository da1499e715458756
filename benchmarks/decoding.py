"""Answers written together, with a cache, beside answers written one at a time without.
`python -m benchmarks.decoding RUN DATA [--rows 1000 --alone 100]`

RUN learned `text -> text`; DATA holds rows for it. In float32, greedy and by a beam of 5. One at a time means
plain loops: each token asks the net anew with all tokens before it. Of so many rows (`--alone`, spread
evenly; all of them take an hour) seconds, texts and log-probabilities are compared, in turn and in this
process. Bars: 20 times (greedy) and 8 times (beam) faster, 99.5% of the texts equal, the log-probabilities of
others within 1e-4.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from mapsto.batch import Batch
from mapsto.config import Reading
from mapsto.data.encode import encode_chunk
from mapsto.data.open import open_source
from mapsto.data.store import collate, tensors
from mapsto.generation.beam import LOWEST
from mapsto.run import Run
from mapsto.source import Chunk
from mapsto.types.text.tokenizers import NEVER, START


def batch_of(run: Run, data: str, rows: int) -> Batch:
    """The test rows of the data (or its first rows, where it names none), sorted by length as `mapsto
    evaluate` walks them."""
    source = open_source(data, Reading())
    cells: list[Any] = []
    (slot,) = run.signature.inputs
    for chunk in source.chunks(4096):
        cells += [
            cell
            for cell, split in zip(chunk.columns[slot.column], chunk.split, strict=True)
            if split in ("test", None)
        ]
    cells = sorted(cells[:rows], key=len)
    encoded, _ = encode_chunk(
        Chunk({slot.column: cells}, [""] * len(cells), [None] * len(cells)), run.signature, run.types
    )
    return collate(
        run.signature,
        run.types,
        {spot: tensors(value) for spot, value in encoded.items()},
        len(cells),
        None,
        None,
        None,
    )


@torch.inference_mode()
def scores(model: Any, batch: Batch, answer: list[int]) -> torch.Tensor:
    """(V,) log-probabilities of the token behind an answer's beginning, from the whole of it."""
    (logits,) = model(batch.inputs, given=torch.tensor([[START, *answer]])).values()
    logits = logits[0, -1].float()
    logits[list(NEVER)] = LOWEST
    return logits.log_softmax(0)


def greedy_alone(model: Any, batch: Batch) -> tuple[list[int], float]:
    answer: list[int] = []
    total = 0.0
    while len(answer) < model.most:
        found = scores(model, batch, answer)
        token = int(found.argmax())
        total += float(found[token])
        answer.append(token)
        if token == START:
            break
    return answer, total


def beam_alone(model: Any, batch: Batch, width: int, penalty: float) -> tuple[list[int], float]:
    going: list[tuple[list[int], float]] = [([], 0.0)]
    ended: list[tuple[float, list[int], float]] = []
    for length in range(1, model.most + 1):
        tried = []
        for answer, total in going:
            found = scores(model, batch, answer)
            best = found.topk(width)
            tried += [
                ([*answer, int(token)], total + float(value))
                for token, value in zip(best.indices, best.values, strict=True)
            ]
        kept = sorted(tried, key=lambda one: -one[1])[:width]
        normal = ((5 + length) / 6) ** penalty
        ended += [
            (total / normal, answer, total)
            for answer, total in kept
            if answer[-1] == START or length == model.most
        ]
        ended = sorted(ended, key=lambda one: -one[0])[:width]
        going = [one for one in kept if one[0][-1] != START]
        if not going or (len(ended) == width and going[0][1] / normal <= ended[0][0]):
            break
    return ended[0][1], ended[0][2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("data")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--alone", type=int, default=100)
    asked = parser.parse_args()
    run = Run.open(asked.run)
    batch = batch_of(run, asked.data, asked.rows)
    places = np.linspace(0, batch.size - 1, min(asked.alone, batch.size)).astype(int).tolist()
    for name, width in (("greedy", 1), ("beam of 5", 5)):
        run.search(beam=width)
        penalty, model, slot = run.learner.config.penalty, run.model, run.signature.outputs[0].name
        run.learner.arrays(batch.slice(0, 8))  # warm
        start = time.perf_counter()
        found = run.learner.arrays(batch)[slot]
        together = (time.perf_counter() - start) / batch.size
        start, equal, gaps = time.perf_counter(), 0, []
        for place in places:
            one = batch.slice(place, place + 1)
            answer, total = greedy_alone(model, one) if width == 1 else beam_alone(model, one, width, penalty)
            same = [token for token in answer if token != START] == found["value"][place].tolist()
            equal += same
            gaps += [] if same else [abs(total - float(found["score"][place]))]
        alone = (time.perf_counter() - start) / len(places)
        gap = f"the others' log-probabilities differ by {max(gaps):.1e} at most" if gaps else "no others"
        print(
            f"{name}: {batch.size:,} together {together * 1000:.2f} ms each, {len(places):,} alone"
            f" {alone * 1000:.1f} ms each: {alone / together:.1f} times; {equal / len(places):.1%} of the"
            f" texts equal, {gap}",
            flush=True,
        )


if __name__ == "__main__":
    main()
