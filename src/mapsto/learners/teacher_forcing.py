"""Teacher forcing (Williams & Zipser 1989): a net that writes an answer token by token learns each token
given the true ones before it (Sutskever et al. 2014). When it predicts it goes on from its own: greedy,
drawn, or by beam search (`mapsto.generation.beam`).

While it learns it is measured by its loss, which takes one pass; at the end, and by `mapsto evaluate`, its
answers are written and compared.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, Padded
from mapsto.config import options_of, setting
from mapsto.errors import ConfigError, did_you_mean
from mapsto.generation.beam import Found, beam, drawn
from mapsto.generation.sampling import Sampling
from mapsto.learners.base import Learner, Logs, Scores, answered
from mapsto.metrics import ratio_of
from mapsto.seeds import key
from mapsto.types.text.targets import decode_texts
from mapsto.types.text.tokenizers import START

if TYPE_CHECKING:
    from mapsto.learners._graphs import Part, Sides

EVAL_ROWS = 1_000  # rows that are enough for a look while it learns
SEARCH = ("beam", "penalty", "temperature", "top_p")  # options of how answers are found
AT_ONCE = 640  # answers written at the same time
SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")  # where a sentence ends


class TeacherForcing(Learner):
    """Learn to write the one text right of the arrow, given what stands left of it."""

    prefetch = True
    way = "answers"

    @dataclass(frozen=True)
    class Config:
        """Options of teacher forcing, and of how answers are found."""

        smoothing: float = setting(
            0.1, "share of the truth that is spread over all tokens", above=-1e-9, below=1
        )
        beam: int = setting(
            5, "beginnings kept for each answer by beam search; 1: always the likeliest token", above=0
        )
        penalty: float = setting(
            1.0,
            "how much longer answers are favoured: scores are divided by ((5 + tokens) / 6) to this power",
            above=-1e-9,
        )
        temperature: float = setting(
            0.0, "sampling temperature: 1 draws tokens as the net believes; 0: search", above=-1e-9
        )
        top_p: float = setting(
            0.95,
            "draw only among the likeliest tokens that together have this probability",
            above=0,
            below=1.0000001,
        )

    @cached_property
    def slot(self) -> str:
        if len(self.signature.outputs) != 1 or not self.signature.inputs:
            raise ConfigError(
                "learner 'teacher_forcing' learns one text that answers something, got"
                f" '{self.signature}'.\nWrite: text -> text."
            )
        return self.signature.outputs[0].name

    @property
    def head(self) -> Any:
        return dict(self.model.heads.items())[self.slot]  # type: ignore[union-attr, operator]

    def with_decoding(self, how: Mapping[str, Any], language: Any = None) -> Self:
        if language is not None or "lm_weight" in how:
            raise ConfigError(
                "a language model helps with what is heard, not with answers that are written.\nLeave --lm"
                " and --lm-weight out."
            )
        options = set(SEARCH)
        if unknown := sorted(set(how) - options):
            raise ConfigError(
                f"the search for answers has no option '{unknown[0]}'.\n{did_you_mean(unknown[0], options)}"
            )
        asked = options_of(self.Config, {**vars(self.config), **how}, "search")
        if useless := [name for name in ("beam", "penalty") if name in how and asked.temperature > 0]:
            raise ConfigError(
                f"--{useless[0]} is of the search, with --temperature {asked.temperature:g} tokens are"
                " drawn.\nKeep one of them."
            )
        found = copy.copy(self)
        found.config = asked
        return found

    @cached_property
    def row_tokens(self) -> float:  # type: ignore[override]
        """Of the answers, as translation counts them."""
        if self.store is None:
            return 0.0
        _, offsets = self.store.flat(("output", self.slot))
        rows = self.store.rows("train")
        return float((offsets[rows + 1] - offsets[rows]).mean()) if len(rows) else 0.0

    @property
    def eval_rows(self) -> int:
        return EVAL_ROWS

    # ---- learning ----

    def condition(self, batch: Batch) -> Tensor:
        """The tokens (B, T) that are handed over: START, then the true ones but the last."""
        target = batch.targets[self.slot]
        assert isinstance(target, Padded)
        return torch.cat([torch.full_like(target.values[:, :1], START), target.values[:, :-1]], 1)

    def outputs(self, batch: Batch) -> dict[str, Any]:
        """{slot: logits (B, T, V) of each true token}."""
        return self.model(batch.inputs, condition=self.condition(batch), size=batch.size)

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        output = self.outputs(batch)[self.slot]
        target: Any = batch.targets[self.slot]
        return self.head.loss(output, target, batch.present.get(self.slot), self.config.smoothing), {}

    # ---- measuring ----

    def sample_text(self) -> str:
        """The answer to the first row held back, the likeliest token each time."""
        rows = np.empty(0) if self.store is None else self.store.rows("validation")
        if self.store is None or not len(rows):
            return ""
        model: Any = self.model.eval()
        batch = self.ready(self.batch_of(self.store, rows[:1]))
        with torch.inference_mode(), self.autocast:
            found = beam(model.next, model.begin(batch.inputs), 1, model.most, 1, 0.0, self.device)
        return decode_texts(found.tokens, *self.head.spelling)[0]

    def evaluate(self, split: str, most: int | None = None) -> Scores:
        """The loss alone: answers take as many passes as they have tokens."""
        if self.store is None or not self.size(split):
            return {}
        sums = np.concatenate([self._nats(batch) for batch in self.iterate(split, most)])
        return {self.slot: {"loss": ratio_of(sums)}}

    @torch.inference_mode()
    def _nats(self, batch: Batch) -> np.ndarray:
        """(B, 2): nats of the true answer, and its tokens."""
        self.model.eval()
        ready = self.ready(batch)
        with self.autocast:
            output = self.outputs(ready)[self.slot]
        nats, count = self.head.loss(output, ready.targets[self.slot])  # type: ignore[arg-type]
        return torch.stack([nats.double(), count.double()], 1).cpu().numpy()

    @torch.inference_mode()
    def arrays(self, batch: Batch) -> dict[str, dict[str, np.ndarray]]:
        """{slot: value, (B,) arrays of tokens; score (B,); and where the truth is known its nats (B,)}."""
        self.model.eval()
        parts = [
            self._found(self.ready(batch.slice(low, low + self._rows)))
            for low in range(0, batch.size, self._rows)
        ]
        found = {
            "value": _rows([row for part in parts for row in part.tokens]),
            "score": np.concatenate([part.score for part in parts]),
        }
        if self.slot in batch.targets:
            found["nats"] = self._nats(batch)[:, 0]
        return {self.slot: found}

    @property
    def _rows(self) -> int:
        return max(1, AT_ONCE // (self.config.beam if not self.config.temperature else 1))

    def _found(self, batch: Batch) -> Found:
        model: Any = self.model
        with self.autocast:
            state = model.begin(batch.inputs)
            if not self.config.temperature:
                return beam(
                    model.next,
                    state,
                    batch.size,
                    model.most,
                    self.config.beam,
                    self.config.penalty,
                    self.device,
                )
            how = Sampling(temperature=self.config.temperature, top_p=self.config.top_p)
            uniform = np.random.default_rng(key(self.training.seed, "answers")).random(
                (model.most, batch.size)
            )
            return drawn(model.next, state, batch.size, model.most, uniform, how, self.device)

    def graphs(self, cells: Mapping[str, np.ndarray], sides: Sides) -> list[Part]:
        from mapsto.learners._graphs import graphs_of_writer

        return graphs_of_writer(self.model, self.signature, self.types, cells, sides)  # type: ignore[arg-type]

    def way_options(self, parts: Sequence[Part]) -> dict[str, Any]:
        from mapsto.learners._graphs import options_of_writer

        searched = {name: getattr(self.config, name) for name in SEARCH}
        return {**searched, "seed": self.training.seed, **options_of_writer(self.model, parts)}  # type: ignore[arg-type]

    def baseline(self, split: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """What the first input's own words are worth as an answer: all of them, and the first sentence."""
        name = self.signature.inputs[0].name
        source, output = self.types["input", name], self.output(self.slot)
        first = next(self.iterate(split), None)
        if first is None or source.texts_of(first.inputs[name]) is None:
            return {}

        def answers(texts: list[str]) -> dict[str, np.ndarray]:
            return {"value": _rows(output.tokens(texts, *self.head.spelling))}  # type: ignore[attr-defined]

        def rule(batch: Batch) -> dict[str, dict[str, np.ndarray]]:
            texts = source.texts_of(batch.inputs[name])
            assert texts is not None
            return {
                "copy": answers(texts),
                "first_sentence": answers([SENTENCE.split(text.strip(), maxsplit=1)[0] for text in texts]),
            }

        return {self.slot: answered(rule, self.iterate(split))}


def _rows(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """(B,) objects, whatever their lengths."""
    found = np.empty(len(arrays), object)
    for i, array in enumerate(arrays):
        found[i] = array
    return found
