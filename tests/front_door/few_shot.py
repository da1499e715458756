"""Few-shot learning as one file: answers by the nearest mean of a few given rows, learned in episodes.
Prototypical networks: Snell et al. 2017, arXiv:1703.05175."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mapsto.batch import Batch, key
from mapsto.errors import ConfigError
from mapsto.learners.base import Logs
from mapsto.learners.supervised import Supervised

SHOTS, FAR = 5, -1e4  # rows given of each class; the score of a class of which none is given


class FewShot(Supervised):
    """An episode is a row of a batch: a support set to answer by, and queries to answer."""

    @property
    def slot(self) -> str:
        return self.signature.outputs[0].name

    @cached_property
    def by_class(self) -> list[np.ndarray]:
        """Training rows of each class."""
        assert self.store is not None
        rows = self.store.rows("train")
        codes = self.store.raw(rows, [("output", self.slot)])["output", self.slot].numpy().astype(np.int64)
        return [rows[codes == code] for code in np.unique(codes)]

    def episode(self, step: int) -> Batch:
        assert self.store is not None
        draw = np.random.default_rng(key(self.training.seed, "episode", step))
        chosen = [draw.permutation(rows)[: 2 * SHOTS] for rows in self.by_class]
        support, query = (np.concatenate([rows[half::2] for rows in chosen]) for half in (0, 1))
        return Batch({}, {}, 1, parts={name: self.store.batch(rows) for name, rows in (("support", support), ("query", query))})

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        while True:
            yield self.episode(step)
            step += 1

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        query = batch.parts["query"]
        scores = self.outputs(replace(query, parts=batch.parts))[self.slot]
        target: Any = query.targets[self.slot]
        return (cross_entropy(scores[:, 0], target, reduction="sum")[None], torch.ones(1) * query.size), {}

    def outputs(self, batch: Batch) -> dict[str, Any]:
        """{slot: scores (B, 1, K)}: how near each row lies to each class's mean in the support set."""
        net: Any = self.model
        support = batch.parts.get("support") or self.usual
        places, found = net.embed(support.inputs), net.embed(batch.inputs)
        target: Any = support.targets[self.slot]
        classes = len(self.types["output", self.slot].classes)
        scores = [FAR * torch.ones(len(found), device=found.device)] * classes
        for code in target.unique().tolist():
            scores[code] = -((found - places[target == code].mean(0)) ** 2).sum(1)
        return {self.slot: torch.stack(scores, 1)[:, None]}

    @cached_property
    def usual(self) -> Batch:
        """Given rows where nobody gives others: of the training rows, while these are at hand."""
        if self.store is None:
            raise ConfigError("learner 'few_shot' answers by rows that are given.\nGive some: predict(rows, given=rows)")
        return self.ready(self.episode(0).parts["support"])
