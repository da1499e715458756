"""How a clip's samples lie in windows: their sizes and numbers, and what stands where there is no sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

GAP = -32768  # stored where a clip has no sample: behind its end, and everywhere when it is missing
WINDOW, HOP = 0.025, 0.010  # seconds
UNKNOWN = 0x7FFF0000  # sizes in a wav's head from which they stand for "unknown"
FEWEST = 8  # windows of the longest clip at least, so that a net can pool them
STRIDES = {
    1: (1, 1),
    2: (2, 1),
    4: (2, 2),
}  # over time, of these convolutions, by frames that a token stands for


def lacking(data: bytes) -> int:
    """Bytes that a wav's samples have fewer than its head says; 0 where all are there, or where who wrote it
    did not know (ffmpeg to a pipe)."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 <= len(data):  # chunks: a name, the size, as many bytes, even
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return max(0, size - (len(data) - at - 8)) if size < UNKNOWN else 0
        at += 8 + size + size % 2
    return 0


def steps_of(rate: int) -> tuple[int, int]:
    """(samples in a window, samples from one window to the next)."""
    return max(2, round(WINDOW * rate)), max(1, round(HOP * rate))


def frames_of(samples: int, rate: int) -> int:
    """Windows that cover so many samples."""
    window, hop = steps_of(rate)
    return max(FEWEST, 1 + math.ceil((samples - window) / hop))


def samples_read(longest: int, rate: int) -> int:
    """Samples that every window takes which begins in the longest clip, of so many samples."""
    return samples_of(max(FEWEST, shortened(longest, steps_of(rate)[1])), rate)


def padded(cells: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """Samples of clips -> (B, N) int32, GAP behind each one's end."""
    found = np.full((len(cells), samples_read(max(map(len, cells), default=0), rate)), GAP, np.int32)
    for row, cell in zip(found, cells, strict=True):
        row[: len(cell)] = cell
    return found


def samples_of(frames: int, rate: int) -> int:
    """Samples that so many windows take."""
    window, hop = steps_of(rate)
    return window + (frames - 1) * hop


def bands_of(rate: int) -> int:
    """Mel bands by rate: 40 for a telephone's 8 kHz, 64 up to 16 kHz, 80 above, as speech recognisers have
    them."""
    return 40 if rate <= 8000 else 64 if rate <= 16000 else 80


def shortened(count: Any, stride: int) -> Any:
    """Steps left of `count` (a number, a tensor or an array) by a convolution of this stride."""
    return -(-count // stride)
