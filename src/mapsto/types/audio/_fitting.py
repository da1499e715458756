"""What `Audio.fit` finds in training clips: their rate, how much of each is read, and what is usual in each
band. Letters: T frames, M mel bands.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from mapsto.errors import DataError
from mapsto.types.audio._frames import bands_of, frames_of, samples_of
from mapsto.types.audio.files import Sound
from mapsto.types.audio.spectrum import FAINT

HIGHEST = 32_000  # Hz of the default rate: 16 kHz is about what grown-up ears hear
LONGEST = 60.0  # seconds read by default


def fitted(
    known: Sequence[Sound], name: str, rate: int | None, longest: float | None, order: bool
) -> dict[str, Any]:
    """The fields "hertz", "most", "bands" and "cut". rate, longest: as somebody asked, in Hz and seconds.
    DataError: clips of more than a minute that are to be cut, and nobody said how much of them to read."""
    rates = Counter(value.rate for value in known if value.rate)
    hertz = rate or min(HIGHEST, max(rates, key=lambda rate: (rates[rate], rate), default=16_000))
    seconds = np.array([value.length / (value.rate or hertz) for value in known] or [1.0])
    enough = float(np.quantile(seconds, 0.99, method="higher"))
    # of so few clips, the one in a hundred that may be cut is the longest
    if enough > LONGEST and 2 < len(seconds) <= 100:
        enough = float(np.sort(seconds)[-2])
    if enough > LONGEST and longest is None and not order:
        raise DataError(
            f"'{name}': expected clips of at most {LONGEST:.0f} s, the longest training clip has"
            f" {seconds.max():,.0f} s.\nCut them, or say how much of each is read, the loudest part:"
            f" audio(max={LONGEST:.0f})."
        )
    most = samples_of(frames_of(math.ceil((longest or min(enough, LONGEST)) * hertz), hertz), hertz)
    return {
        "hertz": int(hertz),
        "most": most,
        "bands": bands_of(hertz),
        "cut": float((seconds * hertz > most).mean()),
    }


def moments(clips: Iterable[Tensor], bands: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) of each band over all frames of clips (T, M)."""
    total, squares, frames = np.zeros(bands), np.zeros(bands), 0
    for clip in clips:  # one at a time: a thousand minutes need not lie in memory together
        found = clip.double().numpy()
        total, squares, frames = total + found.sum(0), squares + (found**2).sum(0), frames + len(found)
    mean = total / frames if frames else np.full(bands, math.log(FAINT) / 2)
    std = np.sqrt(np.maximum(squares / max(1, frames) - mean**2, 0))
    # silence alone must not be blown up
    return tuple(mean.tolist()), tuple(np.maximum(std, 0.5).tolist())
