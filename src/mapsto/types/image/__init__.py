"""Pictures: any mode, size, depth and orientation in; uint8 (or uint16) squares in the store; normalised
floats in a batch.

Shape: a picture no longer than 4:3 is squeezed onto the square, a distortion Inception-style augmentation
applies anyway, and nothing is cut away; a longer one is fitted whole and padded with the mean colour of its
border. Transparency lies on white. A missing picture is stored as zeros and is 0, the mean, after
normalisation. Letters: B batch, C channels, H W image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Blob, Column
from mapsto.config import setting
from mapsto.errors import ConfigError, did_you_mean
from mapsto.files import write_atomic
from mapsto.lazy import torch
from mapsto.types.base import DataType, Layout, learned, quarters

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mapsto.batch import Draw
    from mapsto.blocks import Item

AUGMENTATIONS = ("crop", "flip", "colour", "cutout", "randaugment")
GEOMETRIC = ("crop", "flip", "randaugment")  # of these, the ones that move what is seen


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
    libraries: ClassVar[tuple[str, ...]] = ("pillow",)
    placeholder: ClassVar[Any] = "photo.png"
    web_kind: ClassVar[str] = "picture"

    size: int | None = setting(
        None, "side in pixels; none: found in the training pictures, at most 224", above=0, most=4096
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
    usual: tuple[int, ...] = learned(())  # width and height of the middle training picture, before
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
        from mapsto.types.image import _decoding

        return _decoding.read(cell, 2 * (self.side or self.size or 224))

    def fit(self, values: Sequence[np.ndarray | None], spec: Mapping[str, Any]) -> Self:
        """Size, channels, depth, mean and std from at most 1,000 training pictures. spec may want size,
        channels, mean, std (of 0..1). A room fitted before stays as it is."""
        if self.side:
            return self
        from mapsto.types.image._squares import coloured, common_side, moments

        known = [value for value in values if value is not None]
        known = known[:: max(1, math.ceil(len(known) / 1000))]
        side = self.size or spec.get("size") or common_side(known)
        planes = (
            self.channels or spec.get("channels") or (3 if any(coloured(value) for value in known) else 1)
        )
        depth = self.bits or (16 if any(value.dtype == np.uint16 for value in known) else 8)
        usual = tuple(int(np.median([value.shape[k] for value in known])) for k in (1, 0)) if known else ()
        column_type = replace(self, side=int(side), planes=int(planes), depth=depth, usual=usual)
        mean, std = moments(map(column_type.encode, known), column_type.planes, column_type._white)
        return replace(column_type, mean=tuple(spec.get("mean", mean)), std=tuple(spec.get("std", std)))

    @property
    def _white(self) -> int:
        return 65535 if self.depth == 16 else 255

    def about(self, names: bool = True) -> str:
        return (
            f"{self.side} × {self.side} pixels, {'colour' if self.planes == 3 else 'grey'}, {self.depth} bits"
        )

    def said(self, name: str) -> str:
        """What becomes of pictures that are no squares of that size."""
        if not self.usual or self.usual == (self.side, self.side):
            return ""
        from mapsto.types._placement import fitted

        width, height = self.usual
        whole = fitted(height, width, self.side) == (self.side, self.side)
        how = (
            "scaled to"
            if width == height
            else "squeezed onto"
            if whole
            else "fitted whole, with borders, into"
        )
        made = f"pictures of {width} × {height} pixels are {how} squares of {self.side}"
        return f"'{name}': {made}; else {name}:image(size=…)"

    def picture(self, value: np.ndarray | None) -> bytes | None:
        """(H, W, C) -> PNG of at most 256 pixels a side."""
        if value is None:
            return None
        import io

        import PIL.Image

        grey = (value / 257).astype(np.uint8) if value.dtype == np.uint16 else value
        shown = PIL.Image.fromarray(grey[..., 0] if grey.shape[-1] == 1 else grey)
        shown.thumbnail((256, 256))
        file = io.BytesIO()
        shown.save(file, "PNG", optimize=True)
        return file.getvalue()

    def opens_to(self, cell: Any) -> int:
        from mapsto.types.image import _decoding

        return _decoding.pixels_of(cell) if isinstance(cell, bytes) else 0

    def web_options(self) -> dict[str, Any]:
        from mapsto.types.image import _web

        return _web.options_of(self)

    suffix = ".png"

    def write(self, value: np.ndarray, path: Path) -> None:
        """(H, W, C), every pixel."""
        import PIL.Image

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
        from mapsto.types._corruptions import PICTURES

        return {name: levels for name, (_, levels) in PICTURES.items()}

    def corrupt(
        self, name: str, level: float, value: np.ndarray | None, draw: np.random.Generator
    ) -> np.ndarray | None:
        from mapsto.types._corruptions import corrupted

        return None if value is None else corrupted(name, level, value, draw)

    def parts(self, value: np.ndarray | None, most: int) -> list[np.ndarray]:
        from mapsto.types._corruptions import hidden

        return [] if value is None else hidden(value, most)

    def marked(self, value: np.ndarray, weights: Sequence[float]) -> Item:
        from mapsto.blocks import Item
        from mapsto.types._corruptions import overlaid

        return Item(picture=overlaid(value, weights))

    @property
    def layout(self) -> Layout:
        assert self.side, "an image room is asked for its layout before it is fitted"
        return Layout("uint16" if self.depth == 16 else "uint8", (self.planes, self.side, self.side))

    def encode(self, value: np.ndarray | None) -> np.ndarray:
        if value is None:
            return np.zeros(self.layout.shape, self.layout.dtype)  # type: ignore[arg-type]
        from mapsto.types.image._squares import squared, with_depth, with_planes

        pixels = with_depth(with_planes(value, self.planes), self.depth)
        return np.ascontiguousarray(squared(pixels, self.side).transpose(2, 0, 1))  # (H, W, C) -> (C, H, W)

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        if (
            isinstance(cells, np.ndarray)
            and cells.dtype == np.uint8
            and cells.shape[1:3] == (self.side,) * 2
            and len(cells)
        ):
            pixels = np.expand_dims(cells, 3) if cells.ndim == 3 else cells
            if pixels.shape[3] in (1, 3):  # (N, H, W, C): a whole idx or npz file in one stroke
                from mapsto.types.image._squares import with_depth, with_planes

                planes = with_depth(with_planes(pixels, self.planes), self.depth)
                return np.ascontiguousarray(planes.transpose(0, 3, 1, 2)), {}
        return super().encode_column(cells)

    def placement(self, value: np.ndarray | None) -> np.ndarray:
        if value is None:
            return np.eye(2, 3, dtype=np.float32)
        from mapsto.types._placement import square_placement
        from mapsto.types.image._decoding import Reduced

        scale = value.scale if isinstance(value, Reduced) else 1.0
        found = square_placement(value.shape[0], value.shape[1], self.side)
        found[:, :2] *= scale
        return found

    def extent(self, value: np.ndarray | None) -> tuple[float, float]:
        if value is None:
            return self.side, self.side
        from mapsto.types.image._decoding import Reduced

        return value.full if isinstance(value, Reduced) else (value.shape[1], value.shape[0])

    def affine(self, draw: Draw) -> Tensor:
        from mapsto.types.image.augment import movement

        words = _words(self.augment)
        return movement(draw, self.side, self.side, *(word in words for word in GEOMETRIC))

    @property
    def view_geometry(self) -> Tensor:
        from mapsto.types._geometry import mirrored

        mirror = "flip" in _words(self.augment)
        return mirrored(self.side, torch.tensor([False, True] if mirror else [False]))

    def collate(self, arrays: Tensor, draw: Draw | None, geometry: Tensor | None = None) -> Tensor:
        """(B, C, H, W) raw -> float32, normalised; augmented when `draw` is given. Moves are made on bytes,
        before the floats."""
        from mapsto.types.image.augment import collated

        words = _words(self.augment) if draw is not None else ()
        return collated(arrays, draw, words, self.mean, self.std, self._white)

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
        small = torch.nn.functional.adaptive_avg_pool2d(arrays.float(), min(self.side, 16)).flatten(1)
        small = small - small.mean(1, keepdim=True)
        length = small.norm(dim=1, keepdim=True)
        flat = length < 0.01 * self._white * small.shape[1] ** 0.5  # one colour: nothing to compare
        return torch.where(flat, 0.0, small / length.clamp(min=1e-12)).numpy()

    def stem(self, width: int | None) -> nn.Module:
        """width: the normalised pixels themselves (map). None: pooled to at most 16×16 and flattened
        (pooled)."""
        from mapsto.types.image._stems import Pixels, SmallPixels

        return Pixels(self.planes, self.side) if width is not None else SmallPixels(self.planes, self.side)


# --- reading --------------------------------------------------------------------------------------


def _looks_like_image(cell: Any) -> bool:
    if isinstance(cell, Mapping):
        return set(cell) <= {"bytes", "path"} and _looks_like_image(cell.get("bytes") or cell.get("path"))
    if isinstance(cell, (Blob, str, PurePath)):
        return PurePath(str(cell)).suffix.lower() in Image.suffixes
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return Image.is_file(bytes(cell[:32]))
    if isinstance(cell, np.ndarray):
        return cell.ndim == 2 or (cell.ndim == 3 and cell.shape[2] in (1, 3, 4))
    if isinstance(cell, (bool, int, float, np.generic)):  # as tables have them: nothing is imported for these
        return False
    import PIL.Image

    return isinstance(cell, PIL.Image.Image)


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
