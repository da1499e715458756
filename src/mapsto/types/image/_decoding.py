"""Pictures decoded: files, bytes, Pillow's own and arrays made (H, W, 1 or 3), upright and no larger than
needed."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageOps

from mapsto.cells import bytes_of, is_missing, shorten
from mapsto.errors import CellError
from mapsto.lazy import is_tensor

WAYS = "a path, bytes, a PIL image or an array (H, W[, C])"
MOST_PIXELS = 178_000_000  # about Pillow's own limit
MOST_BYTES = 540_000_000  # of decoded pixels, which Pillow holds in four bytes where they have colours
ONE_BYTE = ("1", "L", "P")  # modes of one byte a pixel
LONG, MOST_RATIO = 16_000_000, 1000  # pixels from which no side may be so many times the other
STRIP = 16_000_000  # pixels that are converted at a time
REFUSED = frozenset({"EPS", "WMF"})  # decoding these runs outside programs
ORIENTATION = 0x0112  # EXIF's tag: from 5 on width and height change places
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    PIL.Image.DecompressionBombError,
)  # what Pillow's decoders raise on damaged files
_opening = threading.Lock()  # warnings.catch_warnings is not thread-safe; opening only parses a header


class Reduced(np.ndarray):
    """Pixels (H, W, C) of a picture that was read at a part of its size. full: (width, height) in pixels of
    the picture itself; scale: pixels here for each of its own, in both directions."""

    full: tuple[int, int] = (0, 0)
    scale: float = 1.0

    def __array_finalize__(self, made_of: Any) -> None:
        if isinstance(made_of, Reduced):
            self.full, self.scale = made_of.full, made_of.scale


def _opened(data: bytes, name: str) -> PIL.Image.Image:
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes from 89 megapixels; ours is refused above
            return PIL.Image.open(io.BytesIO(data))
    except PIL.Image.DecompressionBombError as problem:
        raise CellError(
            f"{name}: more than {MOST_PIXELS // 10**6} million pixels, perhaps a decompression bomb.\nScale"
            " the picture down before training."
        ) from problem
    except BROKEN as problem:
        raise CellError(
            f"{name}: not a picture that can be read ({len(data):,} bytes, starting {data[:8]!r}).\nReplace"
            " or delete it."
        ) from problem


def pixels_of(data: bytes) -> int:
    """How many pixels a file holds, as its head says; 0 where nothing can be told. CellError as `read`
    raises it."""
    if not data:
        return 0
    with _opened(data, f"{len(data):,} bytes") as picture:
        return picture.width * picture.height


def _pixels(picture: PIL.Image.Image, enough: int, full: tuple[int, int], scale: float) -> np.ndarray:
    """A loaded picture, upright, as (H, W, 1 or 3); animations give their first frame. full: (width, height)
    of the picture itself, of which it was loaded at `scale`."""
    if picture.mode.startswith("I") or picture.mode == "F":  # I;16, I;16B, I, F
        return _from_array(np.asarray(picture))
    factor = max(1, min(picture.size) // enough)
    rows = max(1, STRIP // (picture.width * factor)) * factor  # a strip of whole blocks is as in the whole
    if rows >= picture.height:
        array = _reduced(picture, factor)
    else:
        strips = range(0, picture.height, rows)
        boxes = [(0, at, picture.width, min(at + rows, picture.height)) for at in strips]
        array = np.concatenate([_reduced(picture.crop(box), factor) for box in boxes])
    if factor <= 1 and scale == 1:
        return array
    reduced = array.view(Reduced)
    reduced.full, reduced.scale = full, scale / max(1, factor)
    return reduced


def _reduced(picture: PIL.Image.Image, factor: int) -> np.ndarray:
    """(H, W, 1 or 3), on white, each factor × factor pixels as one."""
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = PIL.Image.alpha_composite(PIL.Image.new("RGBA", picture.size, "white"), picture).convert(
            "RGB"
        )
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    array = np.asarray(picture.reduce(factor) if factor > 1 else picture)
    return array[..., None] if array.ndim == 2 else array


def _from_array(array: np.ndarray) -> np.ndarray:
    """(H, W), (H, W, 1|3|4) or (1|3, H, W); bool, integers 0..65535, floats 0..1 or 0..255 -> (H, W, 1|3)
    uint8 or uint16."""
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise CellError(
            f"expected a picture (H, W) or (H, W, 1|3|4), got an array {array.shape}.\nBring the axes into"
            " this order."
        )
    array = _whole(array)
    if array.shape[2] == 4:  # composited on white
        white = np.iinfo(array.dtype).max
        alpha = array[..., 3:].astype(np.float32) / white
        array = (array[..., :3] * alpha + white * (1 - alpha) + 0.5).astype(array.dtype)
    return array


def _whole(array: np.ndarray) -> np.ndarray:
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind not in "iuf":
        raise CellError(f"expected pixel values, got {array.dtype}.\nGive numbers.")
    if not np.isfinite(array).all():
        raise CellError("expected finite pixel values, got nan or infinity.\nReplace them, or the picture.")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 65535):
        raise CellError(
            f"expected pixel values 0..1, 0..255 or 0..65535, got {low:g}..{high:g}.\nScale the values."
        )
    if array.dtype.kind == "f":
        array = array * 255 if high <= 1 else array
        return np.rint(array).astype(np.uint8 if high <= 255 else np.uint16)
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def read(cell: Any, enough: int) -> np.ndarray | None:
    """A raw cell, as `Image.read` takes it, -> (H, W, C). enough: twice the side that will be stored; more
    pixels than these cannot matter."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, PIL.Image.Image):
        return _from_pillow(cell, "the picture", enough, theirs=True)
    if isinstance(cell, (np.ndarray, list, tuple)) or is_tensor(cell):
        return _from_array(np.asarray(cell))
    if is_missing(cell):
        return None
    name, data = bytes_of(cell, "a picture", WAYS)
    if not data:
        raise CellError(f"{name}: the file is empty (0 bytes).\nReplace or delete it.")
    picture = _opened(data, name)
    if picture.format in REFUSED:
        raise CellError(
            f"{name}: {picture.format} drawings are not read, because that runs an outside program.\nSave"
            " it as PNG."
        )
    return _from_pillow(picture, name, enough)


def _from_pillow(picture: PIL.Image.Image, name: str, enough: int, theirs: bool = False) -> np.ndarray:
    if picture.width * picture.height > MOST_PIXELS:
        raise CellError(
            f"{name}: {picture.width}×{picture.height} pixels are more than {MOST_PIXELS // 10**6}"
            " million, perhaps a decompression bomb.\nScale the picture down before training."
        )
    if picture.width * picture.height > LONG and max(picture.size) > MOST_RATIO * min(picture.size):
        raise CellError(
            f"{name}: {picture.width}×{picture.height} pixels, one side more than {MOST_RATIO:,} times the"
            " other.\nCut the picture into parts."
        )
    full, scale = picture.size, 1.0
    try:
        if picture.format == "JPEG" and not theirs:  # draft lets libjpeg decode at 1/2, 1/4 or 1/8
            drafted = picture.draft(None, (enough, enough))
            scale = drafted[1][2] / full[0] if drafted else 1.0  # its box: what is kept, before rounding
        held = picture.width * picture.height * (1 if picture.mode in ONE_BYTE else 4)
        if held > MOST_BYTES:
            raise CellError(
                f"{name}: {full[0]}×{full[1]} pixels, {held / 1e6:,.0f} MB once decoded, more than"
                f" {MOST_BYTES / 1e6:,.0f}.\nScale the picture down before training."
            )
        picture.load()
        if picture.info.get("exif") or picture.format in ("JPEG", "MPO", "TIFF", "WEBP"):
            upright = ImageOps.exif_transpose(picture)
            turned = picture.getexif().get(ORIENTATION, 1) >= 5
            full, picture = ((full[1], full[0]) if turned else full), upright
        return _pixels(picture, enough, full, scale)
    except BROKEN as problem:
        raise CellError(
            f"{name}: the picture is damaged or cut short ({shorten(problem, 80)}).\nReplace or delete it."
        ) from problem
