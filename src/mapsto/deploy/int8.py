"""The net in numbers of 8 bits, as far as its metric bears it.

Weights get a scale for each channel. Nets without attention or recurrence also compute in 8 bits, in ranges
that training rows show (static); of the others the weights alone are of 8 bits (dynamic). While the metric on
the rows that the run held back is more than `--most-loss` worse, the layers that add most to the difference
stay in float: one, then two, four, …. Nets that write are `mapsto.deploy._int8_parts`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from mapsto.deploy import _int8_parts, _parity
from mapsto.deploy._card import size
from mapsto.deploy._graph import save, unsaid
from mapsto.deploy._making import Making, write_rooms
from mapsto.errors import RunError
from mapsto.lite.exported import MODEL, Exported, session_of
from mapsto.measure import ood
from mapsto.measure._ood_net import NoveltyNet
from mapsto.run.answering import batch_of

HELP = "the net in 8 bits: smaller, often faster, a little other"
LOSSY = True
FLOAT = "float.onnx"
CALIBRATION = 256  # training rows that show the ranges
AT_ONCE = 32
WATCHED = 64  # rows by which it is told which layers add most to the difference
RECURRENT = ("LSTM", "GRU", "Loop", "Scan")
LAYERS = ("Conv", "MatMul", "Gemm", "Gather")  # that have weights; of recurrent ones nothing is gained
CALLS = 100
NOVELTY = 1 / 10  # of the bytes of the float weights, that what tells rows unlike the training rows may take
NOVEL = 2_000  # validation rows by which its limits are learned


def write(making: Making) -> list[str]:
    import onnx

    if making.parts:
        return _int8_parts.write(making, not _has_vnni())
    plain = making.folder / FLOAT
    reduced, spared = _reduce_novelty(making)
    making.program.save(plain)
    model = _cleared(onnx.load(str(plain)), plain)
    static = _is_static(model)
    layers = _layers(model) if static else _flat(model, _layers(model))
    if not layers:
        raise RunError(
            f"{making.run.path}: its net has no layer that 8 bits would make smaller.\nExport it --to onnx."
        )
    kept: list[str] = []
    while True:
        _quantised(making, plain, layers, kept, static)
        write_rooms(making, making.graph.outputs)
        losses = _losses(making)
        if all(loss["value"] <= making.most_loss for loss in losses.values()):
            break
        if len(kept) >= len(layers):
            _refuse(making, losses)
        worst = _by_difference(making, plain, layers, kept)
        kept += worst[: max(1, len(kept))]
    save(onnx.load(str(making.folder / MODEL)), making.folder / MODEL)
    save(model, plain)
    found = [*reduced, *(_loss_line(name, loss) for name, loss in losses.items())]
    found += _gain(making, plain, layers, kept, static, spared)
    plain.unlink()
    return found


def _reduce_novelty(making: Making) -> tuple[list[str], int]:
    """Fewer of the training rows that tell which rows are unlike them: in 16 bits they would take more than a
    small net in 8. (what to say of it, bytes spared)."""
    graph, run = making.graph, making.run
    whole = run.novelty
    if graph.distance is None or whole is None:
        return [], 0
    weights = sum(value.numel() for value in run.model.parameters())
    rows = making.store.rows("validation")
    seen = [_seen(making, rows[low : low + AT_ONCE]) for low in range(0, min(len(rows), NOVEL), AT_ONCE)]
    smaller = ood.reduced(whole, ood.joined(seen), 4 * weights * NOVELTY) if seen else None
    if smaller is None or len(smaller.net.points) >= len(whole.net.points):
        return [], 0
    graph.distance = NoveltyNet(graph.model, run._looking, smaller)  # type: ignore[arg-type]
    said = (
        f"unsure: told by {len(smaller.net.points):,} of {len(whole.net.points):,} training rows, its"
        " limits learned anew"
    )
    return [said], whole.bytes - smaller.bytes


def _seen(making: Making, rows: np.ndarray) -> ood.OodFeatures:
    """Rows of the data as novelty looks at them."""
    run = making.run
    assert run._looking is not None
    encoded = {spot: one for spot, one in making.rows.encoded(rows).items() if spot[0] == "input"}
    batch = batch_of(run, run.signature, encoded, 0, len(rows))
    with run._looking.attached() as heard:
        making.graph.learner.arrays(batch)
    return run._looking.score(batch, heard[0])


def _cleared(model: Any, path: Path) -> Any:
    """Without the shapes that the exporter noted, which the quantiser does not bear."""
    import onnx

    del model.graph.value_info[:]
    onnx.save(model, str(path))
    return model


def _weights(model: Any) -> dict[str, Any]:
    import onnx

    return {one.name: one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT}


def _layers(model: Any) -> list[str]:
    """Nodes with weights in float32, in order."""
    weights = _weights(model)
    return [
        node.name
        for node in model.graph.node
        if node.op_type in LAYERS
        and any(len(weights[name].dims) > 1 for name in node.input if name in weights)
    ]


def _flat(model: Any, layers: Sequence[str]) -> list[str]:
    """Of these those whose weights have two sides. Several matrices in one, as of members that share a net,
    have a zero for each channel of each, which ONNX Runtime's dynamic product does not take."""
    weights = _weights(model)
    stacked = {
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul"
        and any(len(weights[name].dims) > 2 for name in node.input if name in weights)
    }
    return [name for name in layers if name not in stacked]


def _is_static(model: Any) -> bool:
    """Has it neither recurrence nor attention (products of two things that both change)?"""
    constant = {one.name for one in model.graph.initializer}
    attends = any(
        node.op_type == "MatMul" and not constant & set(node.input) and _is_float(model, node)
        for node in model.graph.node
    )
    looks_up = any(node.op_type == "Gather" and node.name in set(_layers(model)) for node in model.graph.node)
    return not attends and not looks_up and not any(n.op_type in RECURRENT for n in model.graph.node)


def _is_float(model: Any, node: Any) -> bool:
    return "distance" not in next((p.value for p in node.metadata_props if p.key.endswith("name_scopes")), "")


class _Calibration:
    """Training rows, as the quantiser asks for them."""

    def __init__(self, making: Making, taken: set[str]):
        rows = making.training_rows
        chosen = np.sort(np.random.default_rng(0).permutation(rows)[:CALIBRATION])
        self._batches: Iterator[dict[str, np.ndarray]] = (
            {name: value for name, value in making.feed(chosen[low : low + AT_ONCE]).items() if name in taken}
            for low in range(0, len(chosen), AT_ONCE)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _quantised(making: Making, plain: Path, layers: Sequence[str], kept: Sequence[str], static: bool) -> None:
    """The graph at `plain` as the export's, its layers in 8 bits but for those that are kept."""
    from onnxruntime import quantization as q

    chosen = [name for name in layers if name not in kept]
    target = making.folder / MODEL
    if not chosen:
        target.write_bytes(plain.read_bytes())
        return
    shared: dict[str, Any] = {
        "nodes_to_quantize": chosen,
        "per_channel": True,
        "reduce_range": not _has_vnni(),
        "weight_type": q.QuantType.QInt8,
    }
    with unsaid():
        _made(making, plain, target, static, shared)


def _made(making: Making, plain: Path, target: Path, static: bool, shared: dict[str, Any]) -> None:
    from onnxruntime import quantization as q

    if static:
        taken = {one.name for one in session_of(plain, 1).get_inputs()}
        q.quantize_static(
            str(plain),
            str(target),
            cast(q.CalibrationDataReader, _Calibration(making, taken)),
            quant_format=q.QuantFormat.QDQ,
            activation_type=q.QuantType.QUInt8,
            **shared,
        )
    else:
        q.quantize_dynamic(str(plain), str(target), op_types_to_quantize=list(LAYERS), **shared)


def _has_vnni() -> bool:
    """Can this processor add products of 8 bits without overflow? Else weights have 7."""
    flags = Path("/proc/cpuinfo")
    return not flags.exists() or "vnni" in flags.read_text(encoding="utf-8", errors="replace")


def _losses(making: Making) -> dict[str, dict[str, float]]:
    """{output: how much worse its first metric became on the held-back rows, and the 95% interval of that,
    paired}."""
    from mapsto.measure.significance import difference

    exported = Exported.open(making.folder)
    targets, run = making.rows.targets(), making.run
    ours, theirs = _parity.both(run, making.graph.learner, exported, making.rows)
    found = {}
    for name, (target, _) in targets.items():
        metric, output, fitted = run.metrics_of(name)[0], run.output(name), run.calibration.get(name, {})
        a, b = (metric.rows(output.calibrated(side.arrays[name], fitted), target) for side in (ours, theirs))
        made = difference(metric, a.astype(np.float64), b.astype(np.float64))
        if made is None:
            continue
        sign = 1.0 if metric.higher_is_better else -1.0
        ends = [end if end is None else sign * end for end in (made.low, made.high)]
        known = sorted(end for end in ends if end is not None)
        found[name] = (
            {"value": sign * made.value, "low": known[0], "high": known[-1]}
            if known
            else {"value": sign * made.value, "low": sign * made.value, "high": sign * made.value}
        )
    return found


def _by_difference(making: Making, plain: Path, layers: Sequence[str], kept: Sequence[str]) -> list[str]:
    """Layers in 8 bits, first the one that adds most to how far both graphs are apart."""
    import onnx

    model = onnx.load(str(plain))
    outputs = {node.name: node.output[0] for node in model.graph.node}
    asked = [outputs[name] for name in layers]
    rows = making.rows.numbers[:WATCHED]
    feed = making.feed(rows)
    ours, theirs = (_watched(making, path, asked, feed) for path in (plain, making.folder / MODEL))
    before, added = 0.0, {}
    for name in layers:
        a, b = ours.get(outputs[name]), theirs.get(outputs[name])
        if a is None or b is None or a.shape != b.shape:
            added[name] = 0.0
            continue
        apart = float(np.linalg.norm(a.astype(np.float64) - b) / max(np.linalg.norm(a), 1e-12))
        added[name], before = apart - before, apart
    return sorted((name for name in layers if name not in kept), key=lambda name: -added[name])


def _watched(
    making: Making, path: Path, names: Sequence[str], feed: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What stands at some places of a graph, of those that it has."""
    import onnx

    model = onnx.load(str(path))
    there = {name for node in model.graph.node for name in node.output}
    asked = [name for name in names if name in there]
    model.graph.output.extend([onnx.ValueInfoProto(name=name) for name in asked])
    watched = making.folder / "watched.onnx"
    onnx.save(model, str(watched))
    session = session_of(watched, 1)
    watched.unlink()
    taken = {one.name for one in session.get_inputs()}
    found = session.run(asked, {name: value for name, value in feed.items() if name in taken})
    return dict(zip(asked, found, strict=True))


def _refuse(making: Making, losses: dict[str, dict[str, float]]) -> None:
    name, loss = max(losses.items(), key=lambda one: one[1]["value"])
    raise RunError(
        f"{making.run.path}: in 8 bits '{name}' becomes {loss['value']:.4g} worse ({loss['low']:.4g} to"
        f" {loss['high']:.4g}), whichever layers stay in float; at most {making.most_loss:g} was asked"
        " for.\nNothing is written. Allow more with --most-loss, or export --to onnx."
    )


def _loss_line(name: str, loss: dict[str, float]) -> str:
    worse = f"{loss['value']:.4g} worse" if loss["value"] > 0 else "no worse"
    return f"{name}: {worse} in 8 bits ({loss['low']:.4g} to {loss['high']:.4g}, 95% interval, paired)"


def _gain(
    making: Making, plain: Path, layers: Sequence[str], kept: Sequence[str], static: bool, spared: int
) -> list[str]:
    """What 8 bits gain beside 32, measured. spared: bytes that the float graph would have more. RunError:
    nothing becomes smaller."""
    before, after = plain.stat().st_size + spared, (making.folder / MODEL).stat().st_size
    if after >= before:
        raise RunError(
            f"{making.run.path}: in 8 bits it takes {size(after)}, in float {size(before)}.\nNothing is"
            " written: export it --to onnx."
        )
    feed = making.feed(making.rows.numbers[:1])
    seconds = [_seconds_of(session_of(path, 1), feed) for path in (plain, making.folder / MODEL)]
    ratio = seconds[1] / seconds[0]
    how = "weights and sums" if static else "weights alone"
    inside = f"{len(layers) - len(kept)} of {len(layers)} layers in 8 bits ({how})"
    quick = (
        "as fast" if 0.95 <= ratio <= 1.05 else f"{1 / ratio:.2g} times as fast" if ratio < 1 else "no faster"
    )
    return [
        f"{inside}{'; in float: ' + ', '.join(kept[:8]) if kept else ''}",
        f"beside float: {after / before:.2f} of the size, {quick} for one row"
        f" ({1000 * seconds[1]:.2f} ms, {1000 * seconds[0]:.2f} in float)",
    ]


def _seconds_of(session: Any, feed: dict[str, np.ndarray]) -> float:
    taken = {one.name for one in session.get_inputs()}
    feed = {name: value for name, value in feed.items() if name in taken}
    found = []
    for _ in range(CALLS + 3):
        began = time.perf_counter()
        session.run(None, feed)
        found.append(time.perf_counter() - began)
    return float(np.median(found[3:]))
