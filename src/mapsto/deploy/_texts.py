"""Does an export write as its run does? Both go on with the same texts: what the likeliest token is each
time, what a seed draws, and how probable each says the texts themselves are, token by token with what was
kept.
Letters: n texts, T tokens of each, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mapsto.deploy._parity import Rows, latencies
from mapsto.generation.sampling import Sampling, tokens
from mapsto.lite.exported import Exported
from mapsto.measure.scores import score
from mapsto.run import Run
from mapsto.types.text.tokenizers import PADDING

TEXTS = 1_000
CONTEXT, WRITTEN = 48, 16  # tokens of each that are read, and written behind them
TOGETHER = 32
HOW = {
    "likeliest text": Sampling(tokens=WRITTEN, temperature=0.0),
    "drawn text": Sampling(tokens=WRITTEN, temperature=1.0, top_p=0.95, seed=1),
}


def compared(run: Run, learner: Any, exported: Exported, rows: Rows) -> dict[str, Any]:
    """{"rows", "split", "outputs": {output: figures}} of both on the same texts."""
    texts = learner.eval_texts(rows.store, rows.split, TEXTS)
    begun, said = texts.condition[:, :CONTEXT], texts.said[:, :CONTEXT]
    ours, theirs = nats_of_run(learner, begun, said), nats_of_export(exported, begun, said)
    other = {name: _others(learner, exported, begun, how) for name, how in HOW.items()}
    (slot,) = (slot.name for slot in run.signature.outputs)
    found: dict[str, Any] = {
        "difference": float(np.abs(ours - theirs).max(initial=0.0)),
        "equal": {name: 1 - count / max(1, len(begun)) for name, count in other.items()},
        "other": max(other.values()),
    }
    known = np.ones(len(begun), bool)
    for metric in texts.metrics[:1]:
        found["metric"] = metric.name
        for name, nats in (("run", ours), ("export", theirs)):
            made = score((metric,), {"nats": nats.sum(1)}, said, known)[metric.name]
            found[name] = {part: made[part] for part in ("value", "low", "high", "n")}
    return {"rows": len(begun), "split": rows.split, "outputs": {slot: found}}


def nats_of_run(learner: Any, begun: np.ndarray, said: np.ndarray) -> np.ndarray:
    """(n, T): minus the logarithm of what the net gives each token said, 0 where none is; in one pass."""
    import torch

    found = []
    for low in range(0, len(begun), TOGETHER):
        given, wanted = (torch.from_numpy(one[low : low + TOGETHER]) for one in (begun, said))
        with torch.inference_mode():
            (logits,) = learner.model({}, condition=given.to(learner.device), size=len(given)).values()
            logs = logits.float().log_softmax(-1).cpu().gather(2, wanted[..., None])[..., 0]
        found.append(np.where(wanted.numpy() != PADDING, -logs.numpy(), 0.0))
    return np.concatenate(found) if found else np.zeros(said.shape)


def nats_of_export(exported: Exported, begun: np.ndarray, said: np.ndarray) -> np.ndarray:
    """The same by the graph, a token at a time."""
    found, writer = np.zeros(said.shape), exported.writer
    for low in range(0, len(begun), TOGETHER):
        given, wanted = begun[low : low + TOGETHER], said[low : low + TOGETHER]
        writer.begin(len(given))
        for place in range(given.shape[1]):
            logits = writer.logits(given[:, place : place + 1]).astype(np.float64)
            logits -= logits.max(1, keepdims=True)
            logs = logits[np.arange(len(given)), wanted[:, place]] - np.log(np.exp(logits).sum(1))
            found[low : low + TOGETHER, place] = np.where(wanted[:, place] != PADDING, -logs, 0.0)
    return found


def _writer(learner: Any) -> Any:
    from mapsto.generation.cached import Cached

    return Cached(learner.model.eval(), learner.device)


def _others(learner: Any, exported: Exported, begun: np.ndarray, how: Sampling) -> int:
    """Texts that the two write otherwise."""
    count, writers = 0, (_writer(learner), exported.writer)
    for low in range(0, len(begun), TOGETHER):
        start = begun[low : low + TOGETHER]
        numbers = range(low, low + len(start))
        ours, theirs = (np.array(list(tokens(writer, start, numbers, how))) for writer in writers)
        count += int((ours != theirs).any(0).sum())
    return count


def timed(run: Run, learner: Any, exported: Exported, rows: Rows) -> dict[str, Any]:
    """Milliseconds of one token of one text (p50, p99), and tokens a second of several texts, of the run and
    of its export on one thread."""
    import torch

    begun = learner.eval_texts(rows.store, rows.split, TOGETHER).condition[:, :CONTEXT]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours = _speed(_writer(learner), begun)
    finally:
        torch.set_num_threads(before)
    return {"run": ours, "export": _speed(Exported.open(exported.path, threads=1).writer, begun)}


def _speed(writer: Any, begun: np.ndarray) -> dict[str, float]:
    one, many = (latencies(_writing(writer, begun[:count])) for count in (1, TOGETHER))
    p50, p99 = np.quantile(one, (0.5, 0.99)) * 1000
    return {
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "tokens_per_second": round(len(begun) / float(np.median(many)), 1),
    }


def _writing(writer: Any, begun: np.ndarray) -> Any:
    """A call writes a token more, until what is read at once is full: then again from the beginning."""
    how, draws, state = HOW["likeliest text"], np.zeros(len(begun)), {"left": 0}

    def call() -> None:
        if state["left"] <= 0:
            writer.begin(len(begun))
            writer.draw(begun, draws, how, 0)
            state["left"] = writer.most - begun.shape[1]
        if state["left"] > 0:
            writer.draw(begun[:, -1:], draws, how, 0)
        state["left"] -= 1

    return call
