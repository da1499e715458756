"""`mapsto.deploy.int8` of nets of several graphs, which write: weights alone are of 8 bits, in all of them,
for what a token takes is reading weights."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mapsto.deploy import _parity, _texts
from mapsto.deploy._card import size
from mapsto.deploy._graph import save, unsaid
from mapsto.deploy._making import Making, write_rooms
from mapsto.errors import RunError
from mapsto.lite.exported import Exported

LAYERS = ("MatMul", "Gemm", "Gather")


def write(making: Making, reduce_range: bool) -> list[str]:
    """RunError: too much is lost, or nothing gained."""
    import onnx

    before = after = 0
    with TemporaryDirectory() as folder:
        for name, program in making.programs.items():
            plain, target = Path(folder) / name, making.folder / name
            save(program.model_proto, plain)
            before += plain.stat().st_size
            _quantised(plain, target, reduce_range)
            save(onnx.load(str(target)), target)
            after += target.stat().st_size
    if after >= before:
        raise RunError(
            f"{making.run.path}: in 8 bits it takes {size(after)}, in float {size(before)}.\nNothing is"
            " written: export it --to onnx."
        )
    write_rooms(making, ())
    name, value, low, high = _loss(making)
    if value > making.most_loss:
        raise RunError(
            f"{making.run.path}: in 8 bits {name} becomes {value:.4g} worse ({low:.4g} to {high:.4g}); at"
            f" most {making.most_loss:g} was asked for.\nNothing is written. Allow more with --most-loss, or"
            " export --to onnx."
        )
    worse = f"{value:.4g} worse" if value > 0 else "no worse"
    return [
        f"{name}: {worse} in 8 bits ({low:.4g} to {high:.4g}, 95% interval, paired)",
        f"weights in 8 bits; beside float: {after / before:.2f} of the size",
    ]


def _quantised(plain: Path, target: Path, reduce_range: bool) -> None:
    import onnx
    from onnxruntime import quantization as q

    model = onnx.load(str(plain))
    weights = {one.name for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    nodes = [node.name for node in model.graph.node if node.op_type in LAYERS and weights & set(node.input)]
    with unsaid():
        q.quantize_dynamic(
            str(plain),
            str(target),
            op_types_to_quantize=list(LAYERS),
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=q.QuantType.QInt8,
        )


def _loss(making: Making) -> tuple[str, float, float, float]:
    """(metric, how much worse it became on the held-back rows, and the 95% interval of that, paired)."""
    from mapsto.measure.significance import difference

    for metric, ours, theirs in _statistics(making):
        made = difference(metric, ours.astype(np.float64), theirs.astype(np.float64))
        if made is None:
            continue
        sign = 1.0 if metric.higher_is_better else -1.0
        ends = [sign * (made.value if end is None else end) for end in (made.low, made.high)]
        return metric.name, sign * made.value, min(ends), max(ends)
    return "its answers", 0.0, 0.0, 0.0


def _statistics(making: Making) -> list[tuple[Any, np.ndarray, np.ndarray]]:
    """[(metric, its statistics of the run's rows, of the export's)], the first first."""
    run, learner, exported = making.run, making.graph.learner, Exported.open(making.folder)
    (slot,) = (slot.name for slot in run.signature.outputs)
    if not run.signature.inputs:
        texts = learner.eval_texts(making.rows.store, making.rows.split, _texts.TEXTS)
        begun, said = texts.condition[:, : _texts.CONTEXT], texts.said[:, : _texts.CONTEXT]
        sides = _texts.nats_of_run(learner, begun, said), _texts.nats_of_export(exported, begun, said)
        a, b = ({"nats": nats.sum(1)} for nats in sides)
        return [(metric, metric.rows(a, said), metric.rows(b, said)) for metric in texts.metrics[:1]]
    target, _ = making.rows.targets()[slot]
    a, b = (side.arrays[slot] for side in _parity.both(run, learner, exported, making.rows))
    return [(metric, metric.rows(a, target), metric.rows(b, target)) for metric in run.metrics_of(slot)]
