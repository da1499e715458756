"""Hugging Face's Trainer with its own defaults (AdamW 5e-5, batch 8, 3 epochs;
https://huggingface.co/docs/transformers/tasks/sequence_classification), a BERT of 2 layers, 128 wide (Turc et
al. 2019's tiny shape) from scratch over words."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.curve import Curve
from benchmarks.tutorials.read import sst2


def run(files: dict[str, str], curve: Curve, quick: bool) -> None:
    parts = sst2(files["sst2"])
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.train_from_iterator(
        parts["train"][0],
        trainers.WordPieceTrainer(vocab_size=8000, special_tokens=["[PAD]", "[UNK]", "[CLS]"]),
    )
    rows = {
        split: [_row(words, text, label) for text, label in zip(*part, strict=True)]
        for split, part in parts.items()
    }
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=words.get_vocab_size(),
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
        )
    )

    class Measured(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            curve.measure(lambda: accuracy(model, rows["test"]))

    with tempfile.TemporaryDirectory() as place:
        arguments = TrainingArguments(
            output_dir=place,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            num_train_epochs=1 if quick else 3,
        )
        train = rows["train"][:64] if quick else rows["train"]
        Trainer(
            model=model, args=arguments, train_dataset=train, data_collator=padded, callbacks=[Measured()]
        ).train()  # type: ignore[arg-type]


def _row(words: Tokenizer, text: str, label: int) -> dict[str, Any]:
    return {"input_ids": [2, *words.encode(text).ids[:510]], "labels": int(label)}


def padded(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """As DataCollatorWithPadding does: to the longest of the batch."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows])
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


@torch.no_grad()
def accuracy(model: Any, rows: list[dict[str, Any]]) -> float:
    """Share of rows told right."""
    model.eval()
    right = 0
    for low in range(0, len(rows), 64):
        batch = padded(rows[low : low + 64])
        right += int((model(**batch).logits.argmax(1) == batch["labels"]).sum())
    model.train()
    return right / len(rows)
