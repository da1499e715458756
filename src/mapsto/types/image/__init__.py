"""Pictures: any mode, size, depth and orientation in; uint8 (or uint16) squares in the store; normalised
floats in a batch.

Shape: a picture no longer than 4:3 is squeezed onto the square, a distortion Inception-style augmentation
applies anyway, and nothing is cut away; a longer one is fitted whole and padded with the mean colour of its
border. Transparency lies on white. A missing picture is stored as zeros and is 0, the mean, after
normalisation. Letters: B batch, C channels, H W image.
"""

from __future__ import annotations

import io
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, ClassVar, Self

import numpy as np
import PIL.Image
import torch
from PIL import ImageOps
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from mapsto.batch import Draw
from mapsto.blocks import Item
from mapsto.cells import Blob, Column, is_missing, shorten
from mapsto.config import setting
from mapsto.errors import CellError, ConfigError, did_you_mean
from mapsto.files import write_atomic
from mapsto.types._corruptions import PICTURES, corrupted, hidden, overlaid
from mapsto.types._geometry import fitted, mirrored, square_placement
from mapsto.types.base import DataType, Layout, learned, quarters
from mapsto.types.image.augment import cut_out, moved, movement, recoloured, warped

MOST_PIXELS = 178_000_000  # about Pillow's own limit; as RGB half a gigabyte
AUGMENTATIONS = ("crop", "flip", "colour", "cutout", "randaugment")
GEOMETRIC = ("crop", "flip", "randaugment")  # of these, the ones that move what is seen
REFUSED = frozenset({"EPS", "WMF"})  # decoding these runs outside programs
ORIENTATION = 0x0112  # EXIF's tag: from 5 on width and height change places
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"
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


@dataclass(frozen=True)
class Image(DataType):
    """A picture. Read value: uint8 or uint16 array (H, W, 1 or 3). Stored: (C, side, side)."""

    reading: ClassVar[tuple[str, ...]] = ("side", "planes", "depth")
    modality: ClassVar[str] = "image"
    unmistakable: ClassVar[bool] = True
    suffixes: ClassVar[frozenset[str]] = frozenset(
        (
            *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif"),
            *(".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".ico", ".tga"),
        )
    )
    file_words: ClassVar[str] = "images (png, jpg, …)"
    spatial: ClassVar[bool] = True
    placeholder: ClassVar[Any] = "photo.png"

    size: int | None = setting(
        None, "side in pixels; none: found in the training pictures, at most 224", above=0
    )
    channels: int | None = setting(
        None, "1 grey, 3 colour; none: grey if all training pictures are", choices=(1, 3)
    )
    bits: int | None = setting(
        None, "8 or 16 per channel; none: 16 if a training picture has them", choices=(8, 16)
    )
    augment: str | None = setting(
        None, "words of crop flip colour cutout randaugment, or none; default: the recipe decides"
    )
    side: int = learned(0)
    planes: int = learned(0)
    depth: int = learned(8)
    mean: tuple[float, ...] = learned(())  # per channel, 1 = white
    std: tuple[float, ...] = learned(())

    def __post_init__(self) -> None:
        _words(self.augment)

    @classmethod
    def sniff(cls, column: Column) -> float:
        known = column.known[:100]
        return 0.95 * sum(map(_looks_like_image, known)) / len(known) if known else 0.0

    @classmethod
    def is_file(cls, head: bytes) -> bool:
        if head[:4] == b"RIFF":
            return head[8:12] == b"WEBP"
        if head[:2] == b"BM":
            return head[6:10] == b"\0\0\0\0"
        if head[4:8] == b"ftyp":
            return head[8:12] in (b"avif", b"avis")
        if head[:1] == b"P" and head[1:2] in b"123456":  # pbm, pgm, ppm: P and a digit, then a blank
            return head[2:3] in b" \n\r\t#" and len(head) > 3
        return head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*"))

    def read(self, cell: Any) -> np.ndarray | None:
        """Blob, path, bytes, {'bytes', 'path'}, PIL image or array -> (H, W, C). Larger than needed is
        reduced at once."""
        if isinstance(cell, Mapping):
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, PIL.Image.Image):
            return self._from_pillow(cell, "the picture", theirs=True)
        if isinstance(cell, (np.ndarray, Tensor, list, tuple)):
            return _from_array(np.asarray(cell))
        if is_missing(cell):
            return None
        name, data = _bytes_of(cell)
        if not data:
            raise CellError(f"{name}: the file is empty (0 bytes).\nReplace or delete it.")
        picture = _opened(data, name)
        if picture.format in REFUSED:
            raise CellError(
                f"{name}: {picture.format} drawings are not read, because that runs an outside program.\nSave"
                " it as PNG."
            )
        return self._from_pillow(picture, name)

    @property
    def _enough(self) -> int:
        """Twice the side that will be stored: more pixels than these cannot matter."""
        return 2 * (self.side or self.size or 224)

    def _from_pillow(self, picture: PIL.Image.Image, name: str, theirs: bool = False) -> np.ndarray:
        if picture.width * picture.height > MOST_PIXELS:
            raise CellError(
                f"{name}: {picture.width}×{picture.height} pixels are more than {MOST_PIXELS // 10**6}"
                " million, perhaps a decompression bomb.\nScale the picture down before training."
            )
        full, scale = picture.size, 1.0
        try:
            if picture.format == "JPEG" and not theirs:  # draft lets libjpeg decode at 1/2, 1/4 or 1/8
                drafted = picture.draft(None, (self._enough, self._enough))
                scale = drafted[1][2] / full[0] if drafted else 1.0  # its box: what is kept, before rounding
            picture.load()
            if picture.info.get("exif") or picture.format in ("JPEG", "MPO", "TIFF", "WEBP"):
                upright = ImageOps.exif_transpose(picture)
                turned = picture.getexif().get(ORIENTATION, 1) >= 5
                full, picture = ((full[1], full[0]) if turned else full), upright
            return _pixels(picture, self._enough, full, scale)
        except BROKEN as problem:
            raise CellError(
                f"{name}: the picture is damaged or cut short ({shorten(problem, 80)}).\nReplace or"
                " delete it."
            ) from problem

    def fit(self, values: Sequence[np.ndarray | None], spec: Mapping[str, Any]) -> Self:
        """Size, channels, depth, mean and std from at most 1,000 training pictures. spec may want size,
        channels, mean, std (of 0..1). A room fitted before stays as it is."""
        if self.side:
            return self
        known = [value for value in values if value is not None]
        known = known[:: max(1, math.ceil(len(known) / 1000))]
        side = self.size or spec.get("size") or _common_side(known)
        planes = (
            self.channels or spec.get("channels") or (3 if any(_coloured(value) for value in known) else 1)
        )
        depth = self.bits or (16 if any(value.dtype == np.uint16 for value in known) else 8)
        column_type = replace(self, side=int(side), planes=int(planes), depth=depth)
        mean, std = column_type._moments(known)
        return replace(column_type, mean=tuple(spec.get("mean", mean)), std=tuple(spec.get("std", std)))

    def _moments(self, known: Sequence[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if not known:
            return (0.5,) * self.planes, (0.25,) * self.planes
        total, squares = np.zeros(self.planes), np.zeros(self.planes)
        for value in known:  # one at a time: 1,000 squares of 224 need not lie in memory together
            scaled = self.encode(value).reshape(self.planes, -1) / np.float64(self._white)
            total += scaled.mean(1)
            squares += (scaled**2).mean(1)
        mean = total / len(known)
        std = np.sqrt(np.maximum(squares / len(known) - mean**2, 0))
        return tuple(mean.tolist()), tuple(
            np.maximum(std, 1 / 64).tolist()
        )  # flat pictures must not be blown up

    @property
    def _white(self) -> int:
        return 65535 if self.depth == 16 else 255

    def about(self, names: bool = True) -> str:
        return (
            f"{self.side} × {self.side} pixels, {'colour' if self.planes == 3 else 'grey'}, {self.depth} bits"
        )

    def picture(self, value: np.ndarray | None) -> bytes | None:
        """(H, W, C) -> PNG of at most 256 pixels a side."""
        if value is None:
            return None
        grey = (value / 257).astype(np.uint8) if value.dtype == np.uint16 else value
        shown = PIL.Image.fromarray(grey[..., 0] if grey.shape[-1] == 1 else grey)
        shown.thumbnail((256, 256))
        file = io.BytesIO()
        shown.save(file, "PNG", optimize=True)
        return file.getvalue()

    suffix = ".png"

    def write(self, value: np.ndarray, path: Path) -> None:
        """(H, W, C), every pixel."""
        shown = PIL.Image.fromarray(value[..., 0] if value.shape[-1] == 1 else value)
        write_atomic(path, lambda temporary: shown.save(temporary, "PNG"))

    def decode_cell(self, array: np.ndarray) -> np.ndarray | None:
        return np.ascontiguousarray(array.transpose(1, 2, 0)) if array.any() else None

    def slices(self, values: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
        light = [
            None if value is None else 100 * float(value.mean()) / np.iinfo(value.dtype).max
            for value in values
        ]
        return {
            f"light {name} of white": rows for name, rows in quarters(light, lambda x: f"{x:.0f}%").items()
        }

    @property
    def corruptions(self) -> Mapping[str, tuple[float, ...]]:
        return {name: levels for name, (_, levels) in PICTURES.items()}

    def corrupt(
        self, name: str, level: float, value: np.ndarray | None, draw: np.random.Generator
    ) -> np.ndarray | None:
        return None if value is None else corrupted(name, level, value, draw)

    def parts(self, value: np.ndarray | None, most: int) -> list[np.ndarray]:
        return [] if value is None else hidden(value, most)

    def marked(self, value: np.ndarray, weights: Sequence[float]) -> Item:
        return Item(picture=overlaid(value, weights))

    @property
    def layout(self) -> Layout:
        assert self.side, "an image room is asked for its layout before it is fitted"
        return Layout("uint16" if self.depth == 16 else "uint8", (self.planes, self.side, self.side))

    def encode(self, value: np.ndarray | None) -> np.ndarray:
        if value is None:
            return np.zeros(self.layout.shape, self.layout.dtype)  # type: ignore[arg-type]
        pixels = _with_depth(_with_planes(value, self.planes), self.depth)
        return np.ascontiguousarray(_squared(pixels, self.side).transpose(2, 0, 1))  # (H, W, C) -> (C, H, W)

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        if (
            isinstance(cells, np.ndarray)
            and cells.dtype == np.uint8
            and cells.shape[1:3] == (self.side,) * 2
            and len(cells)
        ):
            pixels = np.expand_dims(cells, 3) if cells.ndim == 3 else cells
            if pixels.shape[3] in (1, 3):  # (N, H, W, C): a whole idx or npz file in one stroke
                planes = _with_depth(_with_planes(pixels, self.planes), self.depth)
                return np.ascontiguousarray(planes.transpose(0, 3, 1, 2)), {}
        return super().encode_column(cells)

    def placement(self, value: np.ndarray | None) -> np.ndarray:
        if value is None:
            return np.eye(2, 3, dtype=np.float32)
        scale = value.scale if isinstance(value, Reduced) else 1.0
        found = square_placement(value.shape[0], value.shape[1], self.side)
        found[:, :2] *= scale
        return found

    def extent(self, value: np.ndarray | None) -> tuple[float, float]:
        if value is None:
            return self.side, self.side
        return value.full if isinstance(value, Reduced) else (value.shape[1], value.shape[0])

    def affine(self, draw: Draw) -> Tensor:
        words = _words(self.augment)
        return movement(draw, self.side, self.side, *(word in words for word in GEOMETRIC))

    @property
    def view_geometry(self) -> Tensor:
        mirror = "flip" in _words(self.augment)
        return mirrored(self.side, torch.tensor([False, True] if mirror else [False]))

    def collate(self, arrays: Tensor, draw: Draw | None, geometry: Tensor | None = None) -> Tensor:
        """(B, C, H, W) raw -> float32, normalised; augmented when `draw` is given. Moves are made on bytes,
        before the floats."""
        arrays = arrays.float() if arrays.dtype == torch.uint16 else arrays  # torch has few uint16 operations
        known = (
            arrays.flatten(1).amax(1) > 0
            if len(arrays)
            else torch.ones(0, dtype=torch.bool, device=arrays.device)
        )
        words = _words(self.augment) if draw is not None else ()
        if draw is not None and ("crop" in words or "flip" in words):
            arrays = moved(arrays, draw, "crop" in words, "flip" in words)
        mean, std = (
            torch.tensor(part, device=arrays.device).view(-1, 1, 1) for part in (self.mean, self.std)
        )
        pixels = arrays.float()
        if draw is not None and ("colour" in words or "randaugment" in words):
            pixels = (
                recoloured(pixels.div_(self._white), draw, "colour" in words, "randaugment" in words)
                .sub_(mean)
                .div_(std)
            )
        else:
            pixels = (pixels * (1 / (self._white * std))).sub_(mean / std)
        if draw is not None and "randaugment" in words:
            pixels = warped(pixels, draw)
        if draw is not None and "cutout" in words:
            pixels = cut_out(pixels, draw)
        return (
            pixels * known[:, None, None, None]
        )  # a missing picture is 0; no branch, which would wait for a GPU

    def views(self, values: Tensor) -> list[Tensor]:
        """Mirrored too, where training mirrors."""
        return [values, values.flip(3)] if "flip" in _words(self.augment) else [values]

    def show(self, value: np.ndarray | None) -> str:
        return (
            "—"
            if value is None
            else f"{value.shape[1]}×{value.shape[0]} {'colour' if value.shape[2] == 3 else 'grey'}"
        )

    def summary_stats(self, arrays: Tensor) -> dict[str, np.ndarray]:
        """Light and contrast, shares of white; nan for a missing picture."""
        pixels = arrays.flatten(1).numpy().astype(np.float64) / self._white
        missing = pixels.max(1, initial=0) == 0
        return {
            "light": np.where(missing, np.nan, pixels.mean(1)),
            "contrast": np.where(missing, np.nan, pixels.std(1)),
        }

    def pixels(self, arrays: Tensor) -> np.ndarray:
        """Pixels, row by row, of the first channel; of large pictures every second, third, … row and
        column."""
        step = -(-self.side // 64)
        pixels = arrays[:, 0, ::step, ::step].flatten(1).numpy()
        return (pixels >> 8 if self.depth == 16 else pixels).astype(np.uint8)

    def similarity_embedding(self, arrays: Tensor) -> np.ndarray:
        """16×16 thumbnails less their mean: light and contrast do not matter (the cosine is their
        correlation)."""
        small = adaptive_avg_pool2d(arrays.float(), min(self.side, 16)).flatten(1)
        small = small - small.mean(1, keepdim=True)
        length = small.norm(dim=1, keepdim=True)
        flat = length < 0.01 * self._white * small.shape[1] ** 0.5  # one colour: nothing to compare
        return torch.where(flat, 0.0, small / length.clamp(min=1e-12)).numpy()

    def stem(self, width: int | None) -> nn.Module:
        """width: the normalised pixels themselves (map). None: pooled to at most 16×16 and flattened
        (pooled)."""
        return Pixels(self.planes, self.side) if width is not None else SmallPixels(self.planes, self.side)


class Pixels(nn.Module):
    """(B, C, H, W) as they are: models bring their own first layer."""

    gives = "map"

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.channels, self.size = channels, size

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels


class SmallPixels(nn.Module):
    """(B, C, H, W) -> (B, F), F = C · min(H, 16)²: enough for a linear model to be a fair baseline."""

    gives = "pooled"

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.side = min(size, 16)
        self.features = channels * self.side**2

    def forward(self, pixels: Tensor) -> Tensor:
        return adaptive_avg_pool2d(pixels, self.side).flatten(1)


# --- reading --------------------------------------------------------------------------------------


def _looks_like_image(cell: Any) -> bool:
    if isinstance(cell, Mapping):
        return set(cell) <= {"bytes", "path"} and _looks_like_image(cell.get("bytes") or cell.get("path"))
    if isinstance(cell, (Blob, str, PurePath)):
        return PurePath(str(cell)).suffix.lower() in Image.suffixes
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return Image.is_file(bytes(cell[:32]))
    return isinstance(cell, PIL.Image.Image) or (
        isinstance(cell, np.ndarray) and (cell.ndim == 2 or (cell.ndim == 3 and cell.shape[2] in (1, 3, 4)))
    )


def _bytes_of(cell: Any) -> tuple[str, bytes]:
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return f"{len(cell):,} bytes", bytes(cell)
    if not isinstance(cell, (Blob, str, PurePath)):
        raise CellError(
            f"expected a picture, got {type(cell).__name__} {shorten(cell)}.\nGive a path, bytes, a PIL image"
            " or an array (H, W[, C])."
        )
    blob = cell if isinstance(cell, Blob) else Blob(str(cell), str(cell))
    try:
        return blob.name, blob.read()
    except (OSError, ValueError) as problem:  # ValueError: a NUL byte in the name
        raise CellError(
            f"{blob.name}: cannot be opened ({getattr(problem, 'strerror', None) or problem}).\nCheck the"
            " path."
        ) from problem


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


def _pixels(picture: PIL.Image.Image, enough: int, full: tuple[int, int], scale: float) -> np.ndarray:
    """A loaded picture, upright, as (H, W, 1 or 3); animations give their first frame. full: (width, height)
    of the picture itself, of which it was loaded at `scale`."""
    if picture.mode.startswith("I") or picture.mode == "F":  # I;16, I;16B, I, F
        return _from_array(np.asarray(picture))
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = PIL.Image.alpha_composite(PIL.Image.new("RGBA", picture.size, "white"), picture).convert(
            "RGB"
        )
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    factor = min(picture.size) // enough
    array = np.asarray(picture.reduce(factor) if factor > 1 else picture)
    array = array[..., None] if array.ndim == 2 else array
    if factor <= 1 and scale == 1:
        return array
    reduced = array.view(Reduced)
    reduced.full, reduced.scale = full, scale / max(1, factor)
    return reduced


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
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 65535):  # not: NaN fails every comparison
        raise CellError(
            f"expected pixel values 0..1, 0..255 or 0..65535, got {low:g}..{high:g}.\nScale the values."
        )
    if array.dtype.kind == "f":
        array = array * 255 if high <= 1 else array
        return np.rint(array).astype(np.uint8 if high <= 255 else np.uint16)
    return array.astype(np.uint8 if high <= 255 else np.uint16)


# --- to one size, number of planes and depth ------------------------------------------------------


def _common_side(known: Sequence[np.ndarray]) -> int:
    if not known:
        return 32
    shapes = {value.shape[:2] for value in known}
    if len(shapes) == 1 and max(side := next(iter(shapes))) <= 64:
        return max(side)
    return max(1, min(224, int(np.median([min(value.shape[:2]) for value in known]))))


def _coloured(value: np.ndarray) -> bool:
    return value.shape[2] == 3 and not (
        np.array_equal(value[..., 0], value[..., 1]) and np.array_equal(value[..., 1], value[..., 2])
    )


def _with_planes(pixels: np.ndarray, planes: int) -> np.ndarray:
    """(..., 1 or 3) -> (..., planes)."""
    if pixels.shape[-1] == planes:
        return pixels
    return pixels.repeat(3, -1) if planes == 3 else (pixels @ LUMA + 0.5).astype(pixels.dtype)[..., None]


def _with_depth(pixels: np.ndarray, depth: int) -> np.ndarray:
    if depth == 16:
        return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def _squared(pixels: np.ndarray, side: int) -> np.ndarray:
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


# --- augmentation: per example, on the whole batch at once ----------------------------------------


def _words(text: str | None) -> tuple[str, ...]:
    words = tuple(dict.fromkeys((text or "none").replace(",", " ").replace("+", " ").lower().split()))
    for word in words:
        if word not in (*AUGMENTATIONS, "none"):
            raise ConfigError(
                "type 'image': unknown augmentation"
                f" '{word}'.\n{did_you_mean(word, (*AUGMENTATIONS, 'none'))}"
            )
    return tuple(word for word in words if word != "none")
