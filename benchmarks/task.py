"""The torch side of a workload: its arrays, its net, its loss, optimizer and schedule, as every contender
gets them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from benchmarks.nets import Lifted
from benchmarks.workload import STEPS, Workload
from mapsto.run import Run


class Task:
    """A prepared workload. folder: what `prepare.py` wrote."""

    def __init__(self, workload: Workload, folder: Path):
        self.workload, self.folder = workload, folder
        self.about: dict[str, Any] = json.loads((folder / "about.json").read_text())

    def array(self, name: str) -> Tensor:
        """x, y, numbers, codes, tokens or offsets."""
        return torch.from_numpy(np.load(self.folder / f"{name}.npy"))

    def inputs(self) -> tuple[Tensor, ...]:
        """What the net takes, all rows, for kinds whose rows are of one shape."""
        return (
            (self.array("x"),)
            if self.workload.kind == "pictures"
            else (self.array("numbers"), self.array("codes"))
        )

    def net(self) -> nn.Module:
        """The same net with the same first weights for everybody."""
        torch.manual_seed(0)
        net = Run.open(self.folder / "run").new_model()
        return Lifted(net, self.workload.kind, self.about["numbers"], self.about["codes"], self.about["slot"])

    def dataset(self) -> Dataset:
        """Rows as (input, …, target)."""
        kind = self.workload.kind
        if kind == "windows":
            return Windows(self.array("tokens"), self.about["block"])
        if kind == "texts":
            return TextRows(self.array("tokens"), self.array("offsets"), self.array("y"))
        return torch.utils.data.TensorDataset(*self.inputs(), self.array("y"))

    @property
    def collate(self) -> Callable[[Sequence[Any]], Any] | None:
        """How a tutorial puts rows together; None: torch's default."""
        return padded_rows if self.workload.kind == "texts" else None

    def loader(self) -> DataLoader:
        """As the tutorials have it."""
        return DataLoader(
            self.dataset(), batch_size=self.workload.batch, shuffle=True, collate_fn=self.collate
        )

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean over the batch."""
        if self.workload.loss == "mse":
            return F.mse_loss(output, target)
        if output.ndim == target.ndim + 2:  # members (B, M, K): each on its own loss
            target = target[..., None].expand(output.shape[:-1])
        return F.cross_entropy(output.flatten(0, -2), target.flatten())

    def groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """Weight decay for matrices and filters only."""
        decayed, plain = (
            [p for p in net.parameters() if p.ndim >= 2],
            [p for p in net.parameters() if p.ndim < 2],
        )
        return [
            {"params": decayed, "weight_decay": self.workload.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]

    def optimizer(self, net: nn.Module, **how: Any) -> torch.optim.Optimizer:
        """how: fused or foreach; nothing: torch's default."""
        at = self.workload
        if at.optimizer == "sgd":
            return torch.optim.SGD(self.groups(net), lr=at.lr, momentum=at.momentum, nesterov=True, **how)
        return torch.optim.AdamW(self.groups(net), lr=at.lr, betas=(at.momentum, 0.95), **how)

    def schedule(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
        """Linear to zero."""
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / STEPS))


class Windows(Dataset):
    """Every place of a text: `block` tokens from it on, and the same shifted by one."""

    def __init__(self, tokens: Tensor, block: int):
        self.tokens, self.block = tokens, block

    def __len__(self) -> int:
        return len(self.tokens) - self.block

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        return self.tokens[at : at + self.block], self.tokens[at + 1 : at + 1 + self.block]


class TextRows(Dataset):
    """(tokens (t,), label) a row."""

    def __init__(self, tokens: Tensor, offsets: Tensor, labels: Tensor):
        self.tokens, self.offsets, self.labels = tokens, offsets.tolist(), labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self.tokens[self.offsets[row] : self.offsets[row + 1]], self.labels[row]


def padded_rows(rows: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """-> tokens (B, T) padded with 0, lengths (B,), labels (B,)."""
    texts, labels = zip(*rows, strict=True)
    return (
        pad_sequence(list(texts), batch_first=True),
        torch.tensor([len(text) for text in texts]),
        torch.stack(labels),
    )


class WithLoss(nn.Module):
    """Net and loss in one, as Hugging Face's Trainer wants them: forward(a, b, …, labels) -> {"loss",
    "logits"}."""

    def __init__(self, net: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, labels: Tensor, a: Tensor, b: Tensor | None = None) -> dict[str, Tensor]:
        output = self.net(a) if b is None else self.net(a, b)
        return {"loss": self.loss(output, labels), "logits": output}
