"""Arrays as they lie in idx, npy and npz files: their headers, checked, and their values block by block,
never unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from mapsto.data.files import reading, unpacked
from mapsto.data.offer import IDX_TYPES
from mapsto.errors import DataError

MOST_ITEM = 1 << 28  # bytes


@dataclass(frozen=True)
class Stored:
    """One array in a file: (N, …) of dtype, its bytes after `offset`. member: of an npz."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    member: str | None = None

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """(≤ size, …) at a time, in order."""
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        with _bytes_of(self.path, self.member) as handle:
            handle.read(self.offset)
            for start in range(0, self.shape[0], size):
                count = min(size, self.shape[0] - start)
                data = handle.read(count * row)
                if len(data) < count * row:
                    raise DataError(
                        f"{Path(self.path).name} is cut off: expected {self.shape[0]:,} items,"
                        f" {start + len(data) // max(1, row):,} are there.\nDownload it again ({self.path})."
                    )
                yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])

    @property
    def label(self) -> str:
        """What a message calls it."""
        return Path(self.path).name + (f"/{self.member.removesuffix('.npy')}" if self.member else "")

    def all(self) -> np.ndarray:
        """The whole array (labels: small)."""
        return next(self.blocks(max(1, self.shape[0])), np.empty(self.shape, self.dtype))


@contextmanager
def _bytes_of(path: str, member: str | None) -> Iterator[IO[bytes]]:
    with reading(path):
        if member is None:
            with unpacked(path) as handle:
                yield handle
            return
        try:
            with zipfile.ZipFile(path) as archive, archive.open(member) as handle:
                yield handle
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{Path(path).name} is damaged: {error} ({path}).\nSave it again.") from None


def read_idx(path: Path) -> Stored:
    """The header of an idx file: two zero bytes, the type, the number of dimensions, each dimension as
    big-endian int32."""
    with reading(path), unpacked(path) as handle:
        head = handle.read(4)
        sizes = handle.read(4 * head[3]) if len(head) == 4 else b""
    if (
        len(head) < 4
        or head[:2] != b"\0\0"
        or head[2] not in IDX_TYPES
        or not sizes
        or len(sizes) < 4 * head[3]
    ):
        raise DataError(
            f"{path.name}: expected an idx file as MNIST's ({path}), its first bytes are {head!r}."
            "\nDownload it again."
        )
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    return _checked(Stored(str(path), shape, np.dtype(IDX_TYPES[head[2]]), 4 + len(sizes)))


def _checked(stored: Stored) -> Stored:
    """DataError when the header promises nothing, or more than the file can hold (gzip packs 1032:1 at
    most)."""
    with reading(stored.path):
        size = Path(stored.path).stat().st_size
    if stored.shape and 0 in stored.shape:
        raise DataError(
            f"{stored.label}: expected items, its shape is {stored.shape} ({stored.path})."
            "\nThe first axis is the rows."
        )
    item = math.prod(stored.shape[1:]) * stored.dtype.itemsize
    if item > MOST_ITEM:
        raise DataError(
            f"{stored.label}: one item of its {stored.shape} has {item / 1e6:,.0f} MB, at most"
            f" {MOST_ITEM / 1e6:,.0f} are read.\nThe first axis is the rows ({stored.path})."
        )
    if math.prod(stored.shape) * stored.dtype.itemsize > 1100 * size:
        raise DataError(
            f"{stored.label}: its header says {stored.shape}, far more than {size:,} bytes can"
            f" hold.\nDownload it again ({stored.path})."
        )
    return stored


def read_npy(path: Path, member: str | None = None) -> Stored:
    """The header of a npy file or an npz member. DataError for pickled objects, which are never executed, and
    column order."""
    what = f"{path.name}{'/' + member if member else ''}"
    with _bytes_of(str(path), member) as handle:
        try:
            version = np.lib.format.read_magic(handle)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = header(handle)
            numbers = [isinstance(side, int) and not isinstance(side, bool) for side in shape]
            if not all(numbers) or min(shape, default=0) < 0 or len(shape) > 32 or not dtype.itemsize:
                raise ValueError(f"its header says {str(shape)[:60]} of {str(dtype)[:40]}")
        except (ValueError, TypeError, SyntaxError, EOFError, OverflowError, TokenError) as error:
            said = " ".join(str(error).split())[:120]
            raise DataError(f"{what}: expected a numpy array, {said}.\nSave it again ({path}).") from None
        length = 10 if version == (1, 0) else 12
    if dtype.hasobject:
        raise DataError(
            f"{what}: holds pickled Python objects, which mapsto never executes.\nSave plain arrays instead"
            f" ({path})."
        )
    if fortran and len(shape) > 1:
        raise DataError(f"{what}: is stored column by column.\nSave it as np.ascontiguousarray(a) ({path}).")
    with _bytes_of(str(path), member) as handle:
        prefix = handle.read(length)
    header_length = int.from_bytes(prefix[8:], "little")
    return _checked(Stored(str(path), tuple(shape), dtype, length + header_length, member))
