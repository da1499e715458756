"""Large constants of a graph in the fewest bits that hold them exactly, and a node that widens each again.

An exporter writes what it has computed before as it was computed: axes of 16 bits as doubles, places of a few
hundred pixels as whole numbers of 64 bits. ONNX Runtime widens them once, when it opens the graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST = 1_000  # bytes of a constant from which it is looked at
KINDS = {"f": (np.float16, np.float32), "i": (np.uint8, np.int8, np.uint16, np.int16, np.int32)}


def narrow(model: Any) -> None:
    """An ONNX model's doubles and whole numbers of 64 bits, in place."""
    from onnx import TensorProto, helper, numpy_helper

    graph, widened = model.graph, []
    for one in graph.initializer:
        if one.data_type not in (TensorProto.DOUBLE, TensorProto.INT64) or one.ByteSize() < LEAST:
            continue
        values = numpy_helper.to_array(one)
        fewer = _narrowed(values)
        if fewer is None:
            continue
        name, wide = one.name, one.data_type
        one.CopyFrom(numpy_helper.from_array(fewer, f"{name}.narrow"))
        widened.append(helper.make_node("Cast", [one.name], [name], name=f"{name}.widened", to=wide))
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _narrowed(values: np.ndarray) -> np.ndarray | None:
    """The same numbers in fewer bits; None where none of fewer holds them all."""
    with np.errstate(over="ignore", invalid="ignore"):
        tried = (values.astype(kind) for kind in KINDS[values.dtype.kind])
        return next((one for one in tried if np.array_equal(one.astype(values.dtype), values, True)), None)
