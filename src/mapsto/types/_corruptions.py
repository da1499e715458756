"""What the world does to pictures and texts before a net sees them, and what is hidden from it to find out
where it looks.

Pictures are arrays (H, W, C) of uint8 or uint16, as their room reads them. Plain numpy and scipy, one picture
at a time. Letters: H W image, C channels, G windows a side.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import PIL.Image

Corruption = Callable[
    [np.ndarray, float, np.random.Generator], np.ndarray
]  # float32 0..1, level -> the same shape


def _turned(picture: np.ndarray, degrees: float, draw: np.random.Generator) -> np.ndarray:
    return _mapped(picture, math.radians(degrees) * draw.choice((-1, 1)), 1.0)


def _smaller(picture: np.ndarray, share: float, draw: np.random.Generator) -> np.ndarray:
    return _mapped(picture, 0.0, share)


def _mapped(picture: np.ndarray, angle: float, scale: float) -> np.ndarray:
    """Turned and scaled about the middle, bilinear; what comes into view repeats the border. Shrinking is
    smoothed first, as a lens would."""
    from scipy import ndimage

    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    matrix = np.array([[cos, -sin], [sin, cos]])
    middle = (np.array(picture.shape[:2]) - 1) / 2
    smooth = ndimage.gaussian_filter(picture, (0.4 * (1 / scale - 1),) * 2 + (0,)) if scale < 1 else picture
    offset = (middle - matrix @ middle).tolist()
    planes = [
        ndimage.affine_transform(smooth[..., c], matrix, offset, order=1, mode="nearest")
        for c in range(picture.shape[2])
    ]
    return np.stack(planes, -1)


def _darker(picture: np.ndarray, share: float, draw: np.random.Generator) -> np.ndarray:
    return picture * share


def _blurred(picture: np.ndarray, share: float, draw: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    return ndimage.gaussian_filter(picture, (share * min(picture.shape[:2]),) * 2 + (0,))


def _noisy(picture: np.ndarray, share: float, draw: np.random.Generator) -> np.ndarray:
    return picture + share * draw.standard_normal(picture.shape, np.float32)


PICTURES: Mapping[str, tuple[Corruption, tuple[float, ...]]] = {
    "rotation (degrees)": (_turned, (5, 15, 30, 45)),
    "scale (share of the size)": (_smaller, (0.9, 0.75, 0.6, 0.4)),
    "light (share left)": (_darker, (0.7, 0.5, 0.3, 0.15)),
    "blur (share of the side)": (_blurred, (0.02, 0.05, 0.1, 0.2)),
    "noise (share of white)": (_noisy, (0.05, 0.1, 0.2, 0.4)),
}


def corrupted(name: str, level: float, picture: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A picture after one of PICTURES."""
    white = np.float32(np.iinfo(picture.dtype).max)
    found = PICTURES[name][0](picture.astype(np.float32) / white, level, draw)
    return np.rint(found.clip(0, 1) * white).astype(picture.dtype)


# --- where a net looks: windows hidden one after the other (occlusion, Zeiler & Fergus 2014, section 4.2)
# ------------------------


def windows(height: int, width: int, side: int) -> list[tuple[slice, slice]]:
    """side × side windows over a picture, each twice as wide as the step between them, so that every pixel
    lies in up to four."""

    def spans(length: int) -> list[slice]:
        step = length / side
        return [
            slice(max(0, math.floor((i - 0.5) * step)), min(length, math.ceil((i + 1.5) * step)))
            for i in range(side)
        ]

    return [(rows, columns) for rows in spans(height) for columns in spans(width)]


def grid_side(height: int, width: int, most: int) -> int:
    """Windows a side: at most the square root of `most`, at most the picture's own side."""
    return max(1, min(math.isqrt(max(1, most)), height, width, 16))


def hidden(picture: np.ndarray, most: int) -> list[np.ndarray]:
    """The picture again and again, one window of it filled with the picture's mean colour each time."""
    mean = picture.reshape(-1, picture.shape[2]).mean(0)
    copies = []
    height, width = picture.shape[:2]
    for rows, columns in windows(height, width, grid_side(height, width, most)):
        copy = picture.copy()
        copy[rows, columns] = np.rint(mean).astype(picture.dtype)
        copies.append(copy)
    return copies


def overlaid(picture: np.ndarray, weights: Sequence[float], most: int = 192) -> bytes:
    """PNG of the picture in grey, red where it speaks for the answer, blue where against: weights (G·G,), -1
    to 1, of its windows."""
    height, width = picture.shape[:2]
    heat, cover = np.zeros((height, width)), np.zeros((height, width))
    for (rows, columns), weight in zip(
        windows(height, width, math.isqrt(len(weights))), weights, strict=True
    ):
        heat[rows, columns] += weight
        cover[rows, columns] += 1
    heat /= np.maximum(cover, 1)
    heat /= max(float(np.abs(heat).max()), 1e-12)
    grey = picture.mean(2) / np.iinfo(picture.dtype).max  # (H, W)
    colour = np.where(heat[..., None] > 0, (0.85, 0.1, 0.1), (0.1, 0.25, 0.9))
    share = 0.65 * np.abs(heat)[..., None]
    shown = np.rint(255 * ((1 - share) * grey[..., None] + share * colour)).astype(np.uint8)
    image = PIL.Image.fromarray(shown)
    if max(height, width) < most:  # enlarged by whole pixels, so that small pictures stay what they are
        times = most // max(height, width)
        image = image.resize((width * times, height * times), PIL.Image.Resampling.NEAREST)
    image.thumbnail((most, most))
    file = io.BytesIO()
    image.quantize(128, method=PIL.Image.Quantize.FASTOCTREE).save(file, "PNG", optimize=True)
    return file.getvalue()


def add_typos(text: str, level: float, draw: np.random.Generator) -> str:
    """A text in which each letter is, with a chance of `level`, swapped with the next, lost, doubled or
    replaced by one of the same text."""
    signs = list(text)
    for i in np.flatnonzero(draw.random(len(signs)) < level).tolist():
        what = int(draw.integers(4))
        if what == 0 and i + 1 < len(signs):
            signs[i], signs[i + 1] = signs[i + 1], signs[i]
        elif what == 1:
            signs[i] = ""
        elif what == 2:
            signs[i] *= 2
        else:
            signs[i] = text[int(draw.integers(len(text)))]
    return "".join(signs)


def words_disturbed(text: str, level: float, draw: np.random.Generator, change: Callable[[str], str]) -> str:
    """The text with a share of its words changed, blanks between them as they are."""
    pieces = re.split(r"(\s+)", text)
    hit = draw.random(len(pieces)) < level
    return "".join(
        change(piece) if is_hit and piece.strip() else piece
        for piece, is_hit in zip(pieces, hit, strict=True)
    )


def pieces_of(text: str, most: int) -> list[str]:
    """Its first `most` words with the blanks around them; where it has no spaces, at most so many runs of
    characters."""
    pieces = re.findall(r"\s*\S+\s*", text) if len(text.split()) > 1 else list(text)
    if len(pieces) <= most:
        return pieces
    if len(text.split()) > 1:
        return pieces[:most]
    step = -(-len(text) // most)
    return [text[i : i + step] for i in range(0, len(text), step)]
