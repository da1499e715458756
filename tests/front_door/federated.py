"""Federated averaging as one file: every client takes local steps on its own rows, then their weights are
averaged. McMahan et al. 2017, arXiv:1602.05629. Clients are the groups of the data (--group)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, key
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.learners.base import Logs, Updates
from mapsto.learners.supervised import Supervised


class Federated(Supervised):
    """A step is a round: a batch holds a part for each client."""

    @dataclass(frozen=True)
    class Config(Supervised.Config):
        local: int = setting(2, "steps of each client in a round", above=0)

    def __init__(self, *words: Any):
        super().__init__(*words)
        self.rounds = torch.zeros((), dtype=torch.int64)

    def clients(self) -> dict[str, np.ndarray]:
        """{client: its training rows}."""
        if self.store is None or self.store.groups is None:
            raise ConfigError("learner 'federated' learns from clients.\nName their column: --group COLUMN.")
        rows = self.store.rows("train")
        groups = self.store.groups[rows]
        return {str(group): rows[groups == group] for group in np.unique(groups)}

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        store, clients, size = self.store, self.clients(), self.training.batch or 1
        assert store is not None
        while True:
            parts = {}
            for name, rows in clients.items():
                draw = np.random.default_rng(key(self.training.seed, name, step))
                parts[name] = store.batch(draw.choice(rows, size))
            yield Batch({}, {}, 1, parts=parts)
            step += 1

    def step(self, batch: Batch, trainer: Updates) -> Logs:
        shared = [p.detach().clone() for p in self.model.parameters()]
        total, logs = [torch.zeros_like(p) for p in shared], {}
        for part in batch.parts.values():
            self._put(shared)
            for _ in range(self.config.local):
                logs = trainer.update(self.loss, part)
            total = [so_far + p.detach() for so_far, p in zip(total, self.model.parameters(), strict=True)]
        self._put([so_far / len(batch.parts) for so_far in total])
        self.rounds += 1
        return logs

    def probes(self) -> tuple[Batch, Batch]:
        """What takes time and memory is one client's part."""
        part = next(iter(next(self.batches("train", 0)).parts.values()))
        return part, part

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for p, value in zip(self.model.parameters(), values, strict=True):
            p.copy_(value)

    def record(self) -> dict[str, Any]:
        return {"rounds": int(self.rounds), "clients": len(self.clients()) if self.store else 0}

    def state_dict(self) -> dict[str, Tensor]:
        return {"rounds": self.rounds}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.rounds = state["rounds"].clone()
