"""The net in float32, for ONNX Runtime and `mapsto.lite`."""

from __future__ import annotations

from mapsto.deploy import _graph
from mapsto.deploy._making import Making, write_rooms
from mapsto.lite.exported import MODEL

HELP = "the net in float32, as model.onnx: the run's answers"


def write(making: Making) -> list[str]:
    _graph.save(making.program.model_proto, making.folder / MODEL)
    write_rooms(making, making.graph.outputs)
    return []
