"""The net in float32, for ONNX Runtime and `mapsto.lite`."""

from __future__ import annotations

from mapsto.deploy._making import Making

HELP = "the net in float32, as model.onnx: the run's answers"


def write(making: Making) -> list[str]:
    making.save_graphs()
    return []
