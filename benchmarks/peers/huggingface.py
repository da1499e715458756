"""Hugging Face's Trainer with its defaults: https://huggingface.co/docs/transformers/main_classes/trainer

Its own optimizer is replaced by the workload's (`optimizers=`), as its page allows; nothing is saved or
reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from benchmarks.clock import Clock
from benchmarks.task import Task, WithLoss
from benchmarks.workload import STEPS


class Rows(Dataset):
    """Rows as the dictionaries that Trainer wants."""

    def __init__(self, rows: Any):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> dict[str, Any]:
        *inputs, labels = self.rows[at]
        return dict(zip("ab", inputs, strict=False)) | {"labels": labels}


class Turns(TrainerCallback):
    """Counts the steps."""

    def __init__(self, clock: Clock, rows: int):
        self.clock, self.rows = clock, rows

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.clock.step(self.rows)


def run(task: Task, clock: Clock) -> None:
    model = WithLoss(task.net(), task.loss)
    optimizer = task.optimizer(model)
    arguments = TrainingArguments(
        output_dir=str(Path(task.folder) / "huggingface"),
        per_device_train_batch_size=task.workload.batch,
        max_steps=STEPS // 1000,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        dataloader_drop_last=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Rows(task.dataset()),
        data_collator=_collator(task),
        optimizers=(optimizer, task.schedule(optimizer)),
        callbacks=[Turns(clock, task.workload.batch)],
    )
    trainer.train()


def _collator(task: Task) -> Any:
    """Trainer's own for rows of one shape; texts are padded."""
    collate = task.collate
    if collate is None:
        return None

    def padded(rows: Any) -> dict[str, Any]:
        tokens, lengths, labels = collate([(row["a"], row["labels"]) for row in rows])
        return {"a": tokens, "b": lengths, "labels": labels}

    return padded
