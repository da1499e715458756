"""Reinforce (Williams 1992) in any environment of one observation and a few actions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, key
from mapsto.config import setting
from mapsto.learners.base import Learner, Logs, Scores
from mapsto.metrics import Metric, mean_of


class Corridor(Learner):
    """Each batch is walks of the policy as it is now; a move is learned by what was paid from it on."""

    @dataclass(frozen=True)
    class Config:
        walks: int = setting(8, "episodes a step", above=0)
        longest: int = setting(12, "moves of an episode at most", above=0)

    @torch.no_grad()
    def walk(self, seed: int) -> tuple[list, list[int], list[float]]:
        """One episode: what was seen, done and paid."""
        draw, world = torch.Generator().manual_seed(seed), self.store.make()
        seen, done, paid = [], [], []
        here, _ = world.reset(seed=seed)
        for _ in range(self.config.longest):
            scores = self.logits(self.store.batch([here]))[0]
            seen.append(here)
            done.append(int(torch.multinomial(scores.softmax(0), 1, generator=draw)))
            here, reward, ended, cut, _ = world.step(done[-1])
            paid.append(reward)
            if ended or cut:
                break
        return seen, done, paid

    def logits(self, batch: Batch) -> Tensor:
        """(B, actions)."""
        return self.outputs(batch)["action"]

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        for number in count(step):
            walks = [self.walk(key(self.training.seed, split, number, i)) for i in range(self.config.walks)]
            gains = [np.cumsum(paid[::-1])[::-1] for _, _, paid in walks]
            usual = np.mean([gain[0] for gain in gains])
            seen = self.store.batch([one for each, _, _ in walks for one in each])
            targets = {"action": torch.tensor([one for _, each, _ in walks for one in each]),
                       "gain": torch.tensor(np.concatenate(gains) - usual, dtype=torch.float32)}
            yield replace(seen, targets=targets)

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        surprise = torch.nn.functional.cross_entropy(self.logits(batch), batch.targets["action"], reduction="none")
        return (surprise * batch.targets["gain"], torch.ones(batch.size)), {}

    def evaluate(self, split: str, most: int | None = None) -> Scores:
        return {"action": {"return": float(np.mean([sum(self.walk(key(split, i))[2]) for i in range(50)]))}}

    def metrics(self, slot: str) -> tuple[Metric, ...]:
        return (Metric("return", "What one episode pays.", lambda found, target: found["value"][:, None], mean_of),)
