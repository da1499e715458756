"""Answers of an exported run, without PyTorch: `mapsto.lite.open(folder).predict(rows)`.

numpy, ONNX Runtime and what its types need to read a cell (Pillow, tokenizers, soundfile) are enough. Cells
are read and answers told by the same code as a run's: only the net is another, `model.onnx`.
"""

from __future__ import annotations

from mapsto.lite.exported import Exported, open

__all__ = ["Exported", "open"]
