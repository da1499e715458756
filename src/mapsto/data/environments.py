"""What a learner is given of an environment: instances of it, and observations as the net takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mapsto.batch import Batch
from mapsto.data.store import collate, tensors
from mapsto.learners.base import Batches
from mapsto.models.base import Types
from mapsto.signature import Signature
from mapsto.source import Environment


class Environments(Batches):
    """No rows, but as many instances of an environment as a learner asks for: it makes its own rows."""

    def __init__(self, make: Callable[[], Environment], signature: Signature, types: Types):
        self.make, self.signature, self.types = make, signature, types

    def size(self, split: str) -> int | None:
        """Nobody knows."""
        return None

    def batch(self, observations: Sequence[Any]) -> Batch:
        """Observations of the signature's only input as a batch without targets."""
        (slot,) = self.signature.inputs
        encoded, _ = self.types["input", slot.name].encode_column(list(observations))
        raw = {("input", slot.name): tensors(encoded)}
        made = collate(self.signature, self.types, raw, len(observations), None, None, None)
        return made if self.device.type == "cpu" else made.to(self.device)

    def rows(self, split: str) -> np.ndarray:
        return np.empty(0, np.int64)
