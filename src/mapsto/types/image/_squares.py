"""Pictures of any shape, planes and depth made squares of one size. Letters: C channels, H W image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import PIL.Image

from mapsto.types._placement import fitted

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"


def common_side(known: Sequence[np.ndarray]) -> int:
    if not known:
        return 32
    shapes = {value.shape[:2] for value in known}
    if len(shapes) == 1 and max(side := next(iter(shapes))) <= 64:
        return max(side)
    return max(1, min(224, int(np.median([min(value.shape[:2]) for value in known]))))


def coloured(value: np.ndarray) -> bool:
    return value.shape[2] == 3 and not (
        np.array_equal(value[..., 0], value[..., 1]) and np.array_equal(value[..., 1], value[..., 2])
    )


def with_planes(pixels: np.ndarray, planes: int) -> np.ndarray:
    """(..., 1 or 3) -> (..., planes)."""
    if pixels.shape[-1] == planes:
        return pixels
    return pixels.repeat(3, -1) if planes == 3 else (pixels @ LUMA + 0.5).astype(pixels.dtype)[..., None]


def with_depth(pixels: np.ndarray, depth: int) -> np.ndarray:
    if depth == 16:
        return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def squared(pixels: np.ndarray, side: int) -> np.ndarray:
    """(H, W, C) -> (side, side, C), antialiased."""
    height, width, channels = pixels.shape
    small = _resized(pixels, *fitted(height, width, side))
    if small.shape[:2] == (side, side):
        return small
    border = np.concatenate(
        [part.reshape(-1, channels) for part in (small[0], small[-1], small[:, 0], small[:, -1])]
    ).mean(0)
    square = np.empty((side, side, channels), pixels.dtype)
    square[:] = np.rint(border).astype(pixels.dtype)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels

    def scaled(plane: np.ndarray) -> np.ndarray:
        return np.asarray(
            PIL.Image.fromarray(plane).resize(
                (width, height), PIL.Image.Resampling.BILINEAR, reducing_gap=2.0
            )
        )

    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return scaled(np.ascontiguousarray(pixels))
    planes = [np.ascontiguousarray(pixels[..., c]) for c in range(pixels.shape[2])]
    if pixels.dtype == np.uint8:
        return np.stack([scaled(plane) for plane in planes], -1)
    return np.stack(
        [np.rint(scaled(plane.astype(np.float32))).clip(0, 65535).astype(np.uint16) for plane in planes], -1
    )


def moments(
    encoded: Iterable[np.ndarray], planes: int, white: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) of pictures (C, H, W) for each of their planes, as shares of white."""
    count, total, squares = 0, np.zeros(planes), np.zeros(planes)
    for cell in encoded:  # one at a time: 1,000 squares of 224 need not lie in memory together
        scaled = cell.reshape(planes, -1) / np.float64(white)
        total += scaled.mean(1)
        squares += (scaled**2).mean(1)
        count += 1
    if not count:
        return (0.5,) * planes, (0.25,) * planes
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    # flat pictures must not be blown up
    return tuple(mean.tolist()), tuple(np.maximum(std, 1 / 64).tolist())
