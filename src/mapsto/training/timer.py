"""What a training takes: seconds of the clock and of the processors, phase by phase, and memory. Only told,
never decided upon."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from mapsto.training import memory


class Timer:
    """Counts from its making on: `spent.on("learning")` after the work that is to be called so. before:
    seconds of the clock that had passed already."""

    def __init__(self, before: float = 0.0):
        self.phases: dict[str, dict[str, float]] = {}
        self._clock, self._processor = time.monotonic() - before, time.process_time()

    def lap(self, phase: str) -> None:
        """What went by since the last call, or since the beginning, was spent on `phase`."""
        clock, processor = time.monotonic(), time.process_time()
        known = self.phases.setdefault(phase, {"seconds": 0.0, "processor_seconds": 0.0})
        known["seconds"] = round(known["seconds"] + clock - self._clock, 3)
        known["processor_seconds"] = round(known["processor_seconds"] + processor - self._processor, 3)
        self._clock, self._processor = clock, processor

    @property
    def seconds(self) -> float:
        """Of the clock, in all phases together."""
        return sum(phase["seconds"] for phase in self.phases.values())

    def record(self, device: torch.device) -> dict[str, Any]:
        """JSON: phases, processor cores, the most memory held (bytes), and the device."""
        found = {
            "phases": self.phases,
            "cores": os.cpu_count() or 1,
            "memory": memory.peak(),
            "device": device.type,
        }
        return found | (
            {"device_memory": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {}
        )
