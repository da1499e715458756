"""Direct preference optimisation: Rafailov et al. 2023, arXiv:2305.18290. Answers that people prefer become
likelier than those they reject, measured against the net as it was at the start, so that it learns what they
like and forgets little else.

The loss of a pair is −log σ(β · ((log p(chosen) − log p₀(chosen)) − (log p(rejected) − log p₀(rejected)))).
p₀ never changes: what it says of each answer is found once, by one pass of the first weights over all pairs,
so that no second net stands beside the one that learns. Letters: B pairs, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Batch, Batches, Padded
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.learners.base import Learner, Logs
from mapsto.prediction import USUAL, Keep, Measured
from mapsto.types.text.tokenizers import PADDING

if TYPE_CHECKING:
    from mapsto.learners._graphs import EvalTexts, Part, Sides

SPLITS = ("train", "validation", "test")


class Dpo(Learner):
    """Learn to prefer the chosen answer of each pair."""

    way = "texts"

    @dataclass(frozen=True)
    class Config:
        beta: float = setting(0.1, "how near it stays to where it started: low lets it go far", above=0)
        words: float = setting(
            0.0,
            "weight of the chosen answers' own loss, nats a token, beside it (Pang et al. 2024); 0: DPO"
            " alone",
            above=-1e-9,
        )

    @cached_property
    def slot(self) -> str:
        if (
            self.signature.inputs
            or len(self.signature.outputs) != 1
            or self.types["output", self.signature.outputs[0].name].layout.shape != (None, 2)
        ):
            raise ConfigError(
                f"learner 'dpo' learns from pairs of answers, got '{self.signature}'.\nWrite: -> preference."
            )
        return self.signature.outputs[0].name

    def _fresh(self) -> nn.Module:
        """The net as it was at the start."""
        if self.first is None:
            raise ConfigError(
                "learner 'dpo' needs the net that it starts from.\nStart from a run that can talk: --from"
                " RUN."
            )
        return self.first().to(self.device).eval()

    @cached_property
    def _reference(self) -> Tensor:
        """(rows, 2) float32: what the first weights say of each answer; 0 for rows in no split."""
        assert self.store is not None
        rows = [self.store.rows(split) for split in SPLITS]
        found = torch.zeros(
            1 + max((int(one.max()) for one in rows if len(one)), default=0), 2, device=self.device
        )
        net = self._fresh()
        for split in SPLITS:
            for batch in self.store.iterate(split, self.evaluation_batch):
                assert batch.rows is not None
                found[batch.rows.to(self.device)] = self._without_gradient(net, batch)
        return found

    @torch.no_grad()
    def _without_gradient(self, net: nn.Module, batch: Batch) -> Tensor:
        with self.autocast:
            return self._said(net, self.ready(batch)).float()

    def _said(self, net: nn.Module, batch: Batch) -> Tensor:
        """(B, 2): the log-probability of the chosen and of the rejected answer."""
        return self._counted(net, batch)[0]

    def _counted(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, 2) each: log-probabilities of the two answers, and how many tokens these have."""
        pair = batch.targets[self.slot]
        assert isinstance(pair, Padded)
        values = pair.values.transpose(1, 2).flatten(0, 1).long()  # (2B, T)
        tokens = values >> 1
        target = torch.where((values & 1).bool(), tokens, PADDING)[:, 1:]
        ((slot, output),) = net({}, condition=tokens[:, :-1], size=len(tokens)).items()
        nats, tokens_said = dict(net.heads.items())[slot].loss(output, target)  # type: ignore[union-attr, operator]
        return -nats.view(-1, 2), tokens_said.view(-1, 2)

    @cached_property
    def _beside(self) -> nn.Module:
        """The first net, for pairs that came later."""
        return self._fresh()

    def reference(self, batch: Batch) -> Tensor:
        """(B, 2): what the first weights say of a batch."""
        if self.store is None or batch.rows is None:
            return self._without_gradient(self._beside, batch)
        return self._reference[batch.rows.to(self.device)]

    def _margin(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B,) each: β times how much more the chosen answer gained than the rejected one; the chosen one's
        nats a token."""
        said, tokens = self._counted(self.model, batch)
        gained = said - self.reference(batch)
        return self.config.beta * (gained[:, 0] - gained[:, 1]), -said[:, 0] / tokens[:, 0].clamp(min=1)

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        self._reference  # noqa: B018 (found before the first step, with the plan's arithmetic)
        return super().batches(split, step)

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        known = batch.present[self.slot].float()
        margin, nats = self._margin(batch)
        return (known * (F.softplus(-margin) + self.config.words * nats), known), {}

    # ---- exported ----

    def graphs(self, cells: Mapping[str, np.ndarray], sides: Sides) -> list[Part]:
        from mapsto.learners._graphs import graphs_of_language_model

        return graphs_of_language_model(self.model)  # type: ignore[arg-type]

    def way_options(self, parts: Sequence[Part]) -> dict[str, Any]:
        from mapsto.learners._graphs import options_of_language_model

        return options_of_language_model(self.model, parts)  # type: ignore[arg-type]

    def eval_texts(self, store: Batches, split: str, most: int) -> EvalTexts:
        """Chosen answers, behind what they answer."""
        from mapsto.learners._graphs import EvalTexts

        rows = store.rows(split)[:most]
        pair = store.batch(rows).targets[self.slot]
        assert isinstance(pair, Padded)
        values = pair.values[..., 0].long().cpu().numpy()  # (n, T)
        said = np.where(values & 1, values >> 1, PADDING)[:, 1:]
        return EvalTexts((values >> 1)[:, :-1], said, ())

    # ---- measuring ----

    @torch.no_grad()
    def arrays(self, batch: Batch) -> dict[str, dict[str, np.ndarray]]:
        """{slot: {"margin": (B,)}}."""
        self.model.eval()
        with self.autocast:
            margin, _ = self._margin(self.ready(batch))
        return {self.slot: {"margin": margin.float().cpu().numpy()}}

    def measure(self, split: str, keep: Keep = USUAL) -> Measured:
        """Margins need no target: in its place stand zeros, a row each."""
        found = super().measure(split, keep)
        targets = {slot: np.zeros(len(one), np.int8) for slot, one in found.sample.target.items()}
        return replace(found, sample=replace(found.sample, target=targets))

    def baseline(self, split: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """By chance, the longer answer, and the one that was likelier at the start."""
        rows, margins = [], []
        for batch in self.iterate(split):
            pair = batch.targets[self.slot]
            assert isinstance(pair, Padded) and batch.rows is not None
            lengths = (pair.values & 1).sum(1)  # (B, 2)
            said = self.reference(batch).to(lengths.device)
            rows.append(batch.rows)
            margins.append(torch.stack([lengths[:, 0] - lengths[:, 1], said[:, 0] - said[:, 1]], 1).sign())
        order = torch.cat(rows).argsort().cpu()
        longer, likelier = (torch.cat(margins).float().cpu()[order].numpy() * 1e-3).T
        return {
            self.slot: {
                "chance": {"margin": np.zeros(len(order))},
                "longer answer": {"margin": longer},
                "likelier at the start": {"margin": likelier},
            }
        }
