"""Where a picture of any shape lies in the square that is stored."""

from __future__ import annotations

import numpy as np


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) that a picture has in the square: squeezed onto all of it up to 4:3, which Inception's
    augmentation does anyway; a longer one keeps its shape and is padded."""
    if 4 * min(height, width) >= 3 * max(height, width):
        return side, side
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def square_placement(height: int, width: int, side: int) -> np.ndarray:
    """(2, 3) float32: from a picture's own pixels to those of the square it is placed in."""
    inner_height, inner_width = fitted(height, width, side)
    top, left = (side - inner_height) // 2, (side - inner_width) // 2
    return np.array([[inner_width / width, 0, left], [0, inner_height / height, top]], np.float32)


def placed_mask(mask: np.ndarray, side: int, fill: int) -> np.ndarray:
    """(H, W) classes -> (side, side), where `square_placement` puts them: each of the nearest pixel, `fill`
    where the picture is padded."""
    height, width = mask.shape
    inner_height, inner_width = fitted(height, width, side)
    rows, columns = (
        ((np.arange(inner) + 0.5) * whole / inner).astype(np.int64)
        for inner, whole in ((inner_height, height), (inner_width, width))
    )
    found = np.full((side, side), fill, mask.dtype)
    top, left = (side - inner_height) // 2, (side - inner_width) // 2
    found[top : top + inner_height, left : left + inner_width] = mask[rows[:, None], columns]
    return found
