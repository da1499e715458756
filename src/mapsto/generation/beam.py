"""The best answer by a net that writes token by token: greedy, drawn, or by beam search, for a whole batch at
once.

Beam search keeps the K likeliest beginnings of each answer; one that ends is done, with the score log p / ((5
+ T) / 6)^penalty (Wu et al. 2016, arXiv:1609.08144). A row is done when K of its answers are and none that
goes on can still be better; it then leaves the batch. Letters: B rows, K answers kept for each, T tokens, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.types.text.tokenizers import NEVER, PADDING, START

Choose = Callable[[Tensor, int, Tensor], Tensor]  # log-probabilities (b, V), place, rows (b,) -> tokens (b,)
LOWEST = -1e9  # the score of what is not there


@dataclass(frozen=True)
class Found:
    """tokens: of the best answer to each row, int64 (n,) without START; score (B,): its log-probability,
    START included."""

    tokens: list[np.ndarray]
    score: np.ndarray


@torch.inference_mode()
def beam(
    next_logits: Callable[[Tensor, Any], Tensor],
    state: Any,
    rows: int,
    most: int,
    width: int,
    penalty: float,
    device: Any = "cpu",
) -> Found:
    """next_logits(tokens (B · K,), state) -> (B · K, V); state.choose(rows, answers) goes on with some. most:
    tokens an answer has at most. width 1 is greedy."""
    logs = _next(next_logits, torch.full((rows,), START, device=device), state)  # (B, V)
    if width > 1:
        return _beams(next_logits, state, logs, most, width, penalty)
    return _line(next_logits, state, logs, most, lambda logs, place, rows: logs.argmax(1))


@torch.inference_mode()
def drawn(
    next_logits: Callable[[Tensor, Any], Tensor],
    state: Any,
    rows: int,
    most: int,
    choose: Choose,
    device: Any = "cpu",
) -> Found:
    """Answers whose tokens are chosen one by one."""
    logs = _next(next_logits, torch.full((rows,), START, device=device), state)
    return _line(next_logits, state, logs, most, choose)


def _next(next_logits: Callable[[Tensor, Any], Tensor], tokens: Tensor, state: Any) -> Tensor:
    logits = next_logits(tokens, state)
    logits[:, list(NEVER)] = LOWEST
    return logits.log_softmax(1)


def _line(next_logits: Any, state: Any, logs: Tensor, most: int, choose: Choose) -> Found:
    rows, device = len(logs), logs.device
    answers, score = torch.full((rows, most), START, device=device), torch.zeros(rows, device=device)
    alive = torch.arange(rows, device=device)
    for place in range(most):
        token = choose(logs, place, alive)
        score[alive] += logs.gather(1, token[:, None])[:, 0]
        answers[alive, place] = token
        going = (token != START).nonzero()[:, 0]
        if not len(going) or place + 1 == most:
            break
        if len(going) < len(token):
            state.choose(going, going)
        alive, token = alive[going], token[going]
        logs = _next(next_logits, token, state)
    return _found(answers, score)


def _beams(next_logits: Any, state: Any, logs: Tensor, most: int, width: int, penalty: float) -> Found:
    rows, words, device = len(logs), logs.shape[1], logs.device
    width = min(width, words)
    alive = torch.arange(rows, device=device)  # rows that are not done
    score, token = logs.topk(width, 1)  # (B, K)
    source = alive[:, None].expand(rows, width)  # which of the answers in the state each of them goes on from
    texts = torch.full((rows, width, most), PADDING, device=device)
    texts[:, :, 0] = token
    ended, ended_score = (
        torch.full_like(texts, START),
        torch.full((rows, width), LOWEST, device=device),
    )  # the best answers that ended
    ended_length = torch.ones(rows, width, dtype=torch.long, device=device)
    best, best_score, best_length = ended[:, 0].clone(), ended_score[:, 0].clone(), ended_length[:, 0].clone()
    for length in range(1, most + 1):
        over = (token == START) | (length == most)
        here = torch.where(over, score / _normal(length, penalty), LOWEST)
        ended_score, order = torch.cat([ended_score, here], 1).topk(width, 1)
        ended = torch.cat([ended, texts], 1).gather(1, order[..., None].expand(-1, -1, most))
        ended_length = torch.cat([ended_length, torch.full_like(ended_length, length)], 1).gather(1, order)
        score = score.masked_fill(over, LOWEST)
        going_best = score.max(1).values
        full = ended_score[:, -1] > LOWEST / 2
        done = (full & (going_best / _normal(length, penalty) <= ended_score[:, 0])) | (
            going_best <= LOWEST / 2
        )
        which, going = done.nonzero()[:, 0], (~done).nonzero()[:, 0]
        best[alive[which]], best_score[alive[which]], best_length[alive[which]] = (
            ended[which, 0],
            ended_score[which, 0],
            ended_length[which, 0],
        )
        if not len(going):
            break
        if len(which):
            alive, texts, token, score, source = (
                alive[going],
                texts[going],
                token[going],
                score[going],
                source[going],
            )
            ended, ended_score, ended_length = ended[going], ended_score[going], ended_length[going]
        state.choose(going, source.flatten())
        logs = _next(next_logits, token.flatten(), state).view(len(alive), width, words)
        score, place = (score[..., None] + logs).flatten(1).topk(width, 1)  # (b, K)
        before, token = place // words, place % words
        texts = texts.gather(1, before[..., None].expand(-1, -1, most))
        texts[:, :, length] = token
        source = torch.arange(len(alive), device=device)[:, None] * width + before
    return _found(best, best_score * _normal(best_length, penalty))


def _normal(length: Any, penalty: float) -> Any:
    return ((5 + length) / 6) ** penalty


def _found(answers: Tensor, score: Tensor) -> Found:
    """Each row up to its first START."""
    rows, ends = answers.cpu().numpy(), (answers == START).int().argmax(1).cpu().numpy()
    whole = ~(answers == START).any(1).cpu().numpy()
    return Found(
        [row if all_of else row[:end] for row, end, all_of in zip(rows, ends, whole, strict=True)],
        score.float().cpu().numpy(),
    )
