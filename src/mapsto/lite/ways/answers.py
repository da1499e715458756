"""Texts that answer something: `encoder` reads a row once, `step` says what may follow, token by token; which
answer is best is searched for here, as a run does (`mapsto.generation.search`).

Letters: B rows, b of them not done, K answers of a row, N = b · K, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mapsto.config import options_of
from mapsto.errors import ConfigError, did_you_mean
from mapsto.generation import search
from mapsto.generation.sampling import Sampling
from mapsto.generation.sampling import drawn as drawn_token
from mapsto.lite.ways.base import Arrays, Way, ask
from mapsto.seeds import key
from mapsto.types.text.tokenizers import NEVER

NEXT = "next."  # before the name of what is kept, as it is after a token
ASKED = {"beam": int, "penalty": float, "temperature": float, "top_p": float}


class Answers(Way):
    """options: how answers are searched for (`ASKED`), seed, most: tokens of an answer at most, kept: {name:
    sides} of what is kept, a letter for those that change (B, K, T tokens written, others), else a number."""

    graphs: ClassVar[tuple[str, ...]] = ("encoder", "step")
    writes: ClassVar[bool] = True

    def run(self, feed: Arrays) -> tuple[dict[str, np.ndarray], int]:
        how, rows = self.options, len(next(iter(feed.values())))
        kept = how["kept"]
        steps = Steps(self.sessions["step"], kept, begun(kept, ask(self.sessions["encoder"], feed), rows))
        if how["temperature"] <= 0:
            found = search.beam(steps, rows, how["most"], how["beam"], how["penalty"])
        else:
            drawing = Sampling(temperature=how["temperature"], top_p=how["top_p"])
            uniform = np.random.default_rng(key(how["seed"], "answers")).random((how["most"], rows))
            found = search.drawn(steps, rows, how["most"], uniform, drawing)
        value = np.empty(rows, object)
        for row, tokens in enumerate(found.tokens):
            value[row] = tokens
        return {"output0.value": value, "output0.score": found.score}, rows

    def with_decoding(self, how: Mapping[str, Any]) -> Answers:
        for name, one in how.items():
            if name not in ASKED:
                raise ConfigError(
                    f"the search for answers has no option '{name}'.\n{did_you_mean(name, list(ASKED))}"
                )
            try:
                ASKED[name](one)
            except ValueError:
                raise ConfigError(f"{name}: expected a number, got '{one}'.") from None
        asked = {name: ASKED[name](one) for name, one in how.items()}
        drawn = {name: one for name, one in how.items() if name in ("temperature", "top_p")}
        options_of(Sampling, drawn, "search")
        if not math.isfinite(asked.get("penalty", 0.0)):
            raise ConfigError(f"penalty: expected a finite number, got {asked['penalty']}.")
        if asked.get("beam", 1) < 1:
            raise ConfigError(f"beam: expected 1 or more, got {asked['beam']}.")
        return Answers(self.sessions, {**self.options, **asked})


class Steps:
    """`search.Steps` of a graph. kept: {name: array} as the graph takes it."""

    def __init__(self, session: Any, sides: Mapping[str, list[Any]], kept: dict[str, np.ndarray]):
        self.session, self.sides, self.kept = session, sides, kept
        self.rows = next(value.shape[sides[name].index("B")] for name, value in kept.items())

    def _logs(self, tokens: np.ndarray) -> np.ndarray:
        """(N, V): log-probabilities of what follows; what is kept moves on."""
        found = ask(self.session, {"last": tokens.reshape(self.rows, -1), **self.kept})
        self.kept |= {name.removeprefix(NEXT): one for name, one in found.items() if name.startswith(NEXT)}
        logits = found["logits"].reshape(len(tokens), -1)
        logits[:, list(NEVER)] = search.LOWEST
        logits -= logits.max(1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    def likeliest(self, tokens: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        logs = self._logs(tokens)
        count = min(count, logs.shape[1])
        if count == 1:
            best = logs.argmax(1)[:, None]
        else:
            some = np.argpartition(logs, -count, axis=1)[:, -count:]
            order = np.argsort(-np.take_along_axis(logs, some, 1), axis=1, kind="stable")
            best = np.take_along_axis(some, order, 1)
        return np.take_along_axis(logs, best, 1), best

    def drawn(self, tokens: np.ndarray, uniform: np.ndarray, how: Sampling) -> tuple[np.ndarray, np.ndarray]:
        logs = self._logs(tokens)
        token = drawn_token(logs, uniform, how)
        return token, logs[np.arange(len(logs)), token]

    def choose(self, rows: np.ndarray, answers: np.ndarray) -> None:
        for name, value in self.kept.items():
            sides = self.sides[name]
            place = sides.index("B")
            if "K" in sides:
                flat = value.reshape(*value.shape[:place], -1, *value.shape[place + 2 :])
                taken = np.take(flat, answers, place)
                self.kept[name] = taken.reshape(
                    *value.shape[:place], len(rows), -1, *value.shape[place + 2 :]
                )
            elif len(rows) < self.rows:
                self.kept[name] = np.take(value, rows, place)
        self.rows = len(rows)


def begun(sides: Mapping[str, list[Any]], read: Arrays, rows: int) -> dict[str, np.ndarray]:
    """What is kept before the first token: what was read, and of tokens written that there are none."""
    empty = {
        name: unwritten(one, {"B": rows, "K": 1, "T": 0}) for name, one in sides.items() if name not in read
    }
    return {**read, **empty}


def unwritten(sides: list[Any], size: Mapping[str, int]) -> np.ndarray:
    """A tensor of sides, letters of such sizes or numbers, of which nothing is written yet."""
    return np.zeros([size[side] if isinstance(side, str) else int(side) for side in sides], np.float32)
