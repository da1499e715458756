"""Sounds from files and arrays: read, mixed to one channel, brought to a rate, and their loud parts."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from mapsto.cells import bytes_of, is_missing, shorten
from mapsto.errors import CellError, ConfigError
from mapsto.lazy import is_tensor
from mapsto.types.audio._frames import lacking

# seconds, and samples a second, of a clip that a report lets people listen to: 128 KB at most
LISTENED, HEARD = 8.0, 8_000
LONG, BLOCK = 30_000_000, 1 << 20  # values of a file from which it is read in blocks, and of a block
WAYS = "a path, bytes, an array (n[, channels]) or (array, rate)"
MOST_SECONDS = 3600  # of a file that is opened at all


CHANNELS = 16  # an array's shorter side of up to so many is its channels


@dataclass(frozen=True, eq=False)
class Sound:
    """samples (n,) int16, one channel, n ≥ 1; rate in Hz, 0 where an array came without one; total: samples
    of the clip, where these are its loudest part only."""

    samples: np.ndarray
    rate: int = 0
    total: int = 0

    @property
    def length(self) -> int:
        """Samples of the whole clip."""
        return self.total or len(self.samples)


def library_of(name: str) -> ModuleType:
    """soundfile or soxr. ConfigError: not installed."""
    try:
        if name == "soundfile":
            import soundfile

            return soundfile
        import soxr

        return soxr
    except (ImportError, OSError):  # OSError: without the C library that soundfile wraps
        raise ConfigError(
            f'sounds need the library {name}, which is not installed: pip install "mapsto[audio]"'
        ) from None


def from_file(name: str, data: bytes, keep: float | None = None) -> Sound:
    """keep: seconds that will be read of it at most, of its loudest part; None: all."""
    if not data:
        raise CellError(f"{name}: the file is empty (0 bytes).\nReplace or delete it.")
    soundfile = library_of("soundfile")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.frames > MOST_SECONDS * file.samplerate:
                raise CellError(f"{name}: longer than {MOST_SECONDS // 60} minutes.\nCut it into clips.")
            rate = file.samplerate
            long = file.frames * file.channels > LONG
            found = _long(file, name, keep) if long else file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as problem:
        why = getattr(problem, "error_string", problem)  # without the object that was opened
        raise CellError(
            f"{name}: not a sound that can be read ({shorten(why, 80)}).\nReplace or delete it."
        ) from problem
    if lacks := lacking(data):
        raise CellError(f"{name}: cut off, {lacks:,} bytes fewer than its head says.\nReplace or delete it.")
    return found if isinstance(found, Sound) else mixed(found, rate, name)


def _long(file: Any, name: str, keep: float | None) -> Sound:
    """A clip that is not read at once: only its loudest part is kept, where not all of it is wanted."""
    rate, block = file.samplerate, max(1, BLOCK // file.channels)
    part = None if keep is None else max(1, min(math.ceil(keep * rate), LONG // file.channels))
    parts, energy, count = [], [], 0
    while len(samples := file.read(block, dtype="float32", always_2d=True)):
        found = mixed(samples, rate, name).samples
        count += len(found)
        if part is None:
            parts.append(found)
        else:  # of every hundredth of a second
            steps = np.arange(0, len(found), max(1, rate // 100))
            energy += [(count - len(found) + steps, np.add.reduceat(found.astype(np.float64) ** 2, steps))]
    if count < file.frames and file.format in ("FLAC", "WAV"):
        raise CellError(f"{name}: cut off, {count:,} of {file.frames:,} samples.\nReplace or delete it.")
    if not count:
        raise CellError(f"{name}: the sound has no samples.\nReplace or delete it.")
    if part is None:
        return Sound(np.concatenate(parts), rate)
    at = np.concatenate([places for places, _ in energy])
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([found for _, found in energy]))])
    ends = np.searchsorted(at, at + part)
    begin = int(at[np.argmax(total[ends] - total[:-1])])
    file.seek(min(begin, max(0, count - part)))
    return Sound(mixed(file.read(part, dtype="float32", always_2d=True), rate, name).samples, rate, count)


def from_array(array: np.ndarray, rate: Any) -> Sound:
    """(n,), (n, channels) or (channels, n); floats -1..1, or integers of 8 (0..255), 16 or 32 bits."""
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    if array.ndim != 2 or array.shape[1] > CHANNELS or array.dtype.kind not in "iuf":
        raise CellError(
            f"expected samples (n,) or (n, channels), got an array {array.shape} of {array.dtype}.\nGive one"
            " sound a cell."
        )
    if (
        isinstance(rate, bool)
        or not isinstance(rate, (int, float, np.number))
        or rate != int(rate)
        or not 0 <= rate <= 10_000_000
    ):
        raise CellError(f"expected a rate in Hz, got {shorten(rate)}.\nGive (array, rate).")
    if array.dtype.kind == "f":
        samples = array.astype(np.float32)
    elif array.dtype == np.uint8:
        samples = (array.astype(np.float32) - 128) / 128
    else:
        samples = array.astype(np.float64) / (2.0**31 if array.dtype == np.int32 else 2.0**15)
    return mixed(samples, int(rate), "the sound")


def mixed(samples: np.ndarray, rate: int, name: str) -> Sound:
    """(n, channels) floats -> one channel, their mean, of 16 bits."""
    if not samples.size:
        raise CellError(f"{name}: the sound has no samples.\nReplace or delete it.")
    if not np.isfinite(samples).all():
        raise CellError(f"{name}: expected finite samples, got nan or infinity.\nReplace or delete it.")
    return Sound(whole((samples[:, 0] if samples.shape[1] == 1 else samples.mean(1)) * 32768.0), rate)


def whole(samples: np.ndarray) -> np.ndarray:
    """Samples in steps of 16 bits; the lowest step is kept for GAP."""
    return np.rint(samples).clip(-32767, 32767).astype(np.int16)


def at_rate(value: Sound, hertz: int) -> np.ndarray:
    if value.rate in (0, hertz):
        return value.samples
    if len(value.samples) > LONG:
        stream = library_of("soxr").ResampleStream(value.rate, hertz, 1, dtype="float32")
        starts = range(0, len(value.samples), BLOCK)
        blocks = ((value.samples[at : at + BLOCK].astype(np.float32), at == starts[-1]) for at in starts)
        return np.concatenate([whole(stream.resample_chunk(block, last)) for block, last in blocks])
    found = whole(library_of("soxr").resample(value.samples.astype(np.float32), value.rate, hertz))
    return found if len(found) else value.samples[:1]


def loudest(samples: np.ndarray, most: int) -> np.ndarray:
    """The `most` neighbouring samples of greatest energy."""
    if len(samples) <= most:
        return samples
    total = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    start = int(np.argmax(total[most:] - total[:-most]))
    return samples[start : start + most]


def loudness(samples: np.ndarray) -> float:
    """dB of full scale."""
    return 10 * math.log10(np.mean((samples / 32768.0) ** 2) + 1e-10)


def stretches(value: Sound, number: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, len(value.samples), max(1, min(number, len(value.samples))) + 1).astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def read(cell: Any, keep: float | None = None) -> Sound | None:
    """A raw cell, as `Audio.read` takes it. keep: as of `from_file`."""
    if isinstance(cell, Sound):
        return cell
    if isinstance(cell, Mapping):
        if cell.get("array") is not None:
            return from_array(np.asarray(cell["array"]), cell.get("sampling_rate") or 0)
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, tuple) and len(cell) == 2 and (isinstance(cell[0], np.ndarray) or is_tensor(cell[0])):
        return from_array(np.asarray(cell[0]), cell[1])
    if isinstance(cell, (np.ndarray, list, tuple)) or is_tensor(cell):
        return from_array(np.asarray(cell), 0)
    return None if is_missing(cell) else from_file(*bytes_of(cell, "a sound", WAYS), keep)


def wav(value: Sound, hertz: int) -> bytes:
    """A clip of LISTENED seconds and HEARD samples a second at most; hertz: its rate where it has none."""
    rate = min(HEARD, value.rate or hertz)
    samples = value.samples[: int(LISTENED * (value.rate or rate))]
    samples = at_rate(replace(value, samples=samples, rate=value.rate or rate), rate)
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()
