"""Lightning's Trainer with its defaults, as its "Lightning in 15 minutes" has them:
https://lightning.ai/docs/pytorch/stable/starter/introduction.html

Without checkpoints, progress bar and model summary, which no other contender has here; logs of the loss as
the page writes them.
"""

from __future__ import annotations

from typing import Any

import lightning

from benchmarks.clock import Clock
from benchmarks.task import Task


class Module(lightning.LightningModule):
    """The net, its loss and its optimizer."""

    def __init__(self, task: Task):
        super().__init__()
        self.task, self.net = task, task.net()

    def training_step(self, batch: Any, number: int) -> Any:
        *inputs, target = batch
        loss = self.task.loss(self.net(*inputs), target)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = self.task.optimizer(self.net)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.task.schedule(optimizer), "interval": "step"},
        }


class Turns(lightning.Callback):
    """Counts the steps."""

    def __init__(self, clock: Clock):
        self.clock = clock

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
        self.clock.step(len(batch[-1]))


def run(task: Task, clock: Clock) -> None:
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        callbacks=[Turns(clock)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(task), task.loader())
