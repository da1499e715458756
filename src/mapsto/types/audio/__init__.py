"""Sounds: wav, flac, ogg, mp3 and arrays of any rate, depth and number of channels in; samples of one rate in
the store, 16 bits each; normalised log-mel features in a batch, as a picture of one channel, or where a model
reads sequences as frames in order (`mapsto.types.audio.spectrum`).

A clip longer than what is read keeps its loudest part; read in order, every clip is whole, and `max` only
says how much of it is looked at at once. A clip's end, and a missing clip, are 0 after normalisation, which
is the mean; silence is not. Files are read by soundfile and brought to one rate by soxr, which come with `pip
install "mapsto[audio]"`. Letters: B batch, N samples, T frames, M mel bands.
"""

from __future__ import annotations

import io
import math
import wave
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

from mapsto.batch import Draw, Padded, Ragged
from mapsto.blocks import Item
from mapsto.cells import Blob, Column, is_missing, shorten
from mapsto.config import setting
from mapsto.errors import CellError, ConfigError, DataError
from mapsto.signature import Signature
from mapsto.types.audio.spectrum import (
    FAINT,
    FEWEST,
    GAP,
    STRIDES,
    Frames,
    SmallSpectrum,
    Spectrum,
    bands_of,
    centred,
    energies,
    equalised,
    frames_of,
    lacking,
    lengths,
    levelled,
    masked,
    noised,
    paced,
    samples_of,
    shortened,
    steps_of,
    warped,
)
from mapsto.types.base import DataType, Layout, learned, quarters

HIGHEST = 32_000  # Hz of the default rate: 16 kHz is about what grown-up ears hear
LONGEST = 60.0  # seconds read by default
MOST_SECONDS = 3600  # of a file that is opened at all
LISTENED, HEARD = (
    8.0,
    8_000,
)  # seconds, and samples a second, of a clip that a report lets people listen to: 128 KB at most
CHANNELS = 16  # an array's shorter side of up to so many is its channels
NOISE, QUIET = "noise, dB against the sound", "quieter, dB"


@dataclass(frozen=True, eq=False)
class Sound:
    """samples (n,) int16, one channel, n ≥ 1; rate in Hz, 0 where an array came without one."""

    samples: np.ndarray
    rate: int = 0


@dataclass(frozen=True)
class Audio(DataType):
    """A sound. Read value: Sound. Stored: int16 (N,), GAP behind the clip's end; of the clip's own length
    where it is read in order."""

    reading: ClassVar[tuple[str, ...]] = ("hertz", "most", "order", "stride")
    modality: ClassVar[str] = "audio"
    suffixes: ClassVar[frozenset[str]] = frozenset(
        {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"}
    )
    file_words: ClassVar[str] = "sounds (wav, flac, …)"
    placeholder: ClassVar[Any] = "clip.wav"

    rate: int | None = setting(
        None, "samples a second; default: the most common of the training clips, at most 32,000", above=999
    )
    max: float | None = setting(
        None, "seconds read of a clip; default: enough for 99 of 100 training clips, at most 60", above=0
    )
    shift: float | None = setting(
        None,
        "training: speed, and time shifted by up to this share; default: the recipe decides",
        above=-1e-9,
        below=1,
    )
    noise: float | None = setting(
        None,
        "training: share of clips with noise added; default: the recipe decides",
        above=-1e-9,
        below=1.001,
    )
    equaliser: float | None = setting(
        None,
        "training: dB by which bands are louder or quieter; default: the recipe decides",
        above=-1e-9,
        below=60,
    )
    centre: bool | None = setting(
        None, "without each band's mean over the clip, which a microphone adds; default: for speech"
    )
    masks: int | None = setting(
        None,
        "training: stretches of time, and of bands, hidden (SpecAugment); default: the recipe decides",
        above=-1,
    )
    stride: int | None = setting(
        None,
        "frames of 10 ms that a token stands for where a model reads in order: 1, 2 or 4; default: the recipe"
        " decides",
        choices=(1, 2, 4),
    )
    hertz: int = learned(0)
    most: int = learned(0)  # samples stored of a clip
    bands: int = learned(0)
    mean: tuple[float, ...] = learned(())  # of log energies, for each band
    std: tuple[float, ...] = learned(())
    cut: float = learned(0.0)  # share of training clips longer than `most`
    order: bool = learned(False)  # are frames read in order, each clip whole?

    @classmethod
    def sniff(cls, column: Column) -> float:
        known = column.known[:100]
        return 0.95 * sum(map(_looks_like_sound, known)) / len(known) if known else 0.0

    @classmethod
    def is_file(cls, head: bytes) -> bool:
        """FLAC, Ogg, an mp3 with tags, or RIFF's WAVE."""
        return head.startswith((b"fLaC", b"OggS", b"ID3")) or (head[:4] == b"RIFF" and head[8:12] == b"WAVE")

    @classmethod
    def is_cell(cls, value: Any, signature: Signature) -> bool:
        """Samples of one channel."""
        return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf"

    def read(self, cell: Any) -> Sound | None:
        """Blob, path, bytes, {'bytes', 'path'}, {'array', 'sampling_rate'}, (array, rate), or an array (n,),
        (n, channels), (channels, n)."""
        if isinstance(cell, Sound):
            return cell
        if isinstance(cell, Mapping):
            if cell.get("array") is not None:
                return _from_array(np.asarray(cell["array"]), cell.get("sampling_rate") or 0)
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, tuple) and len(cell) == 2 and isinstance(cell[0], (np.ndarray, Tensor)):
            return _from_array(np.asarray(cell[0]), cell[1])
        if isinstance(cell, (np.ndarray, Tensor, list, tuple)):
            return _from_array(np.asarray(cell), 0)
        return None if is_missing(cell) else _from_file(*_bytes_of(cell))

    def fit(self, values: Sequence[Sound | None], spec: Mapping[str, Any]) -> Self:
        """Rate, length and each band's mean and spread in the training clips. A room fitted before stays as
        it is. spec: "order": the model reads frames in order. DataError: clips of more than a minute that are
        to be cut, and nobody said how much of them to read.
        """
        if self.hertz:
            return self
        order, name = bool(spec.get("order")), spec.get("name", "audio")
        if self.stride and not order:
            raise ConfigError(
                f"'{name}': stride is of models that read a sound in order.\nLeave stride out, or: --model"
                " conformer."
            )
        known = [value for value in values if value is not None]
        rates = Counter(value.rate for value in known if value.rate)
        hertz = self.rate or min(HIGHEST, max(rates, key=lambda rate: (rates[rate], rate), default=16_000))
        seconds = np.array([len(value.samples) / (value.rate or hertz) for value in known] or [1.0])
        enough = float(np.quantile(seconds, 0.99, method="higher"))
        if (
            enough > LONGEST and 2 < len(seconds) <= 100
        ):  # of so few clips, the one in a hundred that may be cut is the longest
            enough = float(np.sort(seconds)[-2])
        if enough > LONGEST and self.max is None and not order:
            raise DataError(
                f"'{name}': expected clips of at most {LONGEST:.0f} s, the longest training clip has"
                f" {seconds.max():,.0f} s.\nCut them, or say how much of each is read, the loudest part:"
                f" audio(max={LONGEST:.0f})."
            )
        most = samples_of(frames_of(math.ceil((self.max or min(enough, LONGEST)) * hertz), hertz), hertz)
        column_type = replace(
            self,
            hertz=int(hertz),
            most=most,
            bands=bands_of(hertz),
            cut=float((seconds * hertz > most).mean()),
            order=order,
        )
        return column_type._with_moments(known[:: max(1, math.ceil(len(known) / 1000))])

    def _with_moments(self, known: Sequence[Sound]) -> Self:
        total, squares, frames = np.zeros(self.bands), np.zeros(self.bands), 0
        for value in known:  # one at a time: a thousand minutes need not lie in memory together
            samples = self._one(value)
            count = lengths(samples, self.hertz)
            found = (
                self._features(energies(samples, self.hertz, self.bands), count)[0, : int(count)]
                .double()
                .numpy()
            )
            total, squares, frames = total + found.sum(0), squares + (found**2).sum(0), frames + len(found)
        mean = total / frames if frames else np.full(self.bands, math.log(FAINT) / 2)
        std = np.sqrt(np.maximum(squares / max(1, frames) - mean**2, 0))
        return replace(
            self, mean=tuple(mean.tolist()), std=tuple(np.maximum(std, 0.5).tolist())
        )  # silence alone must not be blown up

    @staticmethod
    def _features(energy: Tensor, count: Tensor) -> Tensor:
        return (levelled(energy, count) + FAINT).log()

    @property
    def layout(self) -> Layout:
        assert self.most, "an audio room is asked for its layout before it is fitted"
        return Layout("int16", (None if self.order else self.most,))

    def encode(self, value: Sound | None) -> np.ndarray:
        if self.order:
            return np.empty(0, np.int16) if value is None else _at_rate(value, self.hertz)
        found = np.full(self.most, GAP, np.int16)
        if value is not None:
            samples = _loudest(_at_rate(value, self.hertz), self.most)
            found[: len(samples)] = samples
        return found

    def decode_cell(self, array: np.ndarray) -> Sound | None:
        samples = array[array != GAP]
        return Sound(samples, self.hertz) if len(samples) else None

    def _samples(self, arrays: Tensor | Ragged) -> Tensor:
        """Encoded cells -> (B, N) int16, GAP behind each clip's end."""
        if isinstance(arrays, Tensor):
            return arrays
        most = int(arrays.lengths.max()) if len(arrays) else 0
        longest = samples_of(
            max(FEWEST, shortened(most, steps_of(self.hertz)[1])), self.hertz
        )  # every window that begins in a clip
        found = torch.full((len(arrays), longest), GAP, dtype=torch.int16)
        return found.masked_scatter_(
            torch.arange(longest) < arrays.lengths[:, None], arrays.flat.to(torch.int16)
        )

    def _one(self, value: Sound | None) -> Tensor:
        """(1, N) int16."""
        cell = self.encode(value)
        return self._samples(Ragged.of([cell]) if self.order else torch.from_numpy(cell)[None])

    def steps(self, arrays: Ragged) -> np.ndarray:
        """Tokens that a net makes of each clip."""
        return shortened(shortened(arrays.lengths.numpy(), steps_of(self.hertz)[1]), self.stride or 1)

    def collate(
        self, arrays: Tensor | Ragged, draw: Draw | None, geometry: Tensor | None = None
    ) -> Tensor | Padded:
        """(B, N) int16 -> (B, 1, M, T) float32; in order, Padded (B, T, M). Changed at random when `draw` is
        given."""
        samples = self._samples(arrays)
        count = lengths(samples, self.hertz)
        energy = energies(samples, self.hertz, self.bands)
        if draw is not None and self.noise:
            energy = noised(energy, count, self.hertz, self.noise, draw)
        if draw is not None and self.equaliser:
            energy = equalised(energy, self.equaliser, draw)
        mean, std = (
            torch.tensor(part, dtype=torch.float32, device=samples.device) for part in (self.mean, self.std)
        )
        features = (self._features(energy, count) - mean) / std
        if self.centre:
            features = centred(features, count)
        if self.order:
            return self._in_order(features, count, draw)
        known = torch.arange(features.shape[1], device=samples.device) < count[:, None]
        if draw is not None and self.shift:
            features, known = warped(features, count, self.shift, draw)
        if draw is not None and self.masks:
            features = masked(features, self.masks, draw)
        return (features * known[..., None]).transpose(1, 2)[:, None].contiguous()

    def _in_order(self, features: Tensor, count: Tensor, draw: Draw | None) -> Padded:
        """Features (B, T, M), with `count` (B,) frames each -> Padded; in training as quick and as high as
        the draw says, and masked."""
        if draw is not None and self.shift:
            features, count = paced(features, count, draw)
        if draw is not None and self.masks:
            features = masked(features, self.masks, draw, 0.05)
        known = torch.arange(features.shape[1], device=features.device) < count[:, None]
        return Padded(features * known[..., None], count, tuple(count.tolist()))

    def stem(self, width: int | None) -> nn.Module:
        """width: the features themselves (map), or tokens (in order). None: averaged to at most 16×16 and
        flattened (pooled)."""
        if width is None:
            return SmallSpectrum()
        return Frames(self.bands, self.stride or max(STRIDES), width) if self.order else Spectrum(self.side)

    @property
    def side(self) -> int:
        """Of a square of as many places as a clip's features have."""
        return math.ceil(math.sqrt(self.bands * frames_of(self.most, self.hertz)))

    # ---- for the data gate and for questions ----

    def summary_stats(self, arrays: Tensor | Ragged) -> dict[str, np.ndarray]:
        """Length in seconds and loudness in dB of full scale; nan for a missing clip."""
        arrays = self._samples(arrays)
        there = arrays != GAP
        count = there.sum(1).double()
        power = torch.where(there, arrays, 0).double().square().sum(1) / (count.clamp(min=1) * 32768**2)
        known = count.numpy() > 0
        found = {"length": (count / self.hertz).numpy(), "loudness": (10 * (power + 1e-10).log10()).numpy()}
        return {name: np.where(known, value, np.nan) for name, value in found.items()}

    def slices(self, values: Sequence[Sound | None]) -> dict[str, np.ndarray]:
        """Quarters by length; by loudness where all are of one length."""
        rate = self.hertz or 16_000
        seconds = [None if value is None else len(value.samples) / (value.rate or rate) for value in values]
        loud = [None if value is None else _loudness(value.samples) for value in values]
        return {
            **quarters(seconds, lambda s: f"{s:.2f} s"),
            **quarters(loud, lambda level: f"{level:.0f} dB"),
        }

    @property
    def corruptions(self) -> Mapping[str, tuple[float, ...]]:
        return {NOISE: (-20.0, -10.0, 0.0), QUIET: (12.0, 24.0, 36.0)}

    def corrupt(
        self, name: str, level: float, value: Sound | None, draw: np.random.Generator
    ) -> Sound | None:
        """White noise so much louder than the clip in the mean, or the whole clip quieter."""
        if value is None:
            return None
        sound = value.samples.astype(np.float64)
        if name == NOISE:
            sound += draw.normal(size=len(sound)) * np.sqrt(np.mean(sound**2)) * 10 ** (level / 20)
        else:
            sound *= 10 ** (-level / 20)
        return replace(value, samples=_whole(sound))

    def parts(self, value: Sound | None, most: int) -> list[Sound]:
        """The sound with one stretch of it silent at a time."""
        found = []
        for low, high in [] if value is None else _stretches(value, min(most, 24)):
            samples = value.samples.copy()  # type: ignore[union-attr]
            samples[low:high] = 0
            found.append(replace(value, samples=samples))  # type: ignore[type-var]
        return found

    def marked(self, value: Sound, weights: Sequence[float]) -> Item:
        rate = value.rate or self.hertz
        pieces = _stretches(value, len(weights))
        return Item(
            pieces=tuple(
                (f"{low / rate:.2f}–{high / rate:.2f} s  ", float(w))
                for (low, high), w in zip(pieces, weights, strict=True)
            )
        )

    # ---- for people ----

    def show(self, value: Sound | None) -> str:
        rate = 0 if value is None else value.rate or self.hertz
        if value is None or not rate:
            return "—" if value is None else f"{len(value.samples):,} samples"
        return f"{len(value.samples) / rate:.2f} s, {rate:,} Hz"

    def about(self, names: bool = True) -> str:
        return (
            f"{self.hertz:,} Hz, {self.most / self.hertz:.2f} s at {'once' if self.order else 'most'},"
            f" {self.bands} mel bands"
        )

    def said(self, name: str) -> str:
        told = f"'{name}' is read at {self.about()}"
        if self.order:
            return f"{told}, a token every {10 * (self.stride or max(STRIDES))} ms"
        return told + (
            f"; of {self.cut:.1%} of the clips, longer, the loudest part is read (max=…)" if self.cut else ""
        )

    def sound(self, value: Sound | None) -> bytes | None:
        """A wav of at most LISTENED seconds and HEARD samples a second."""
        if value is None or not (value.rate or self.hertz):
            return None
        rate = min(HEARD, value.rate or self.hertz)
        samples = _at_rate(
            replace(
                value, samples=value.samples[: int(LISTENED * (value.rate or rate))], rate=value.rate or rate
            ),
            rate,
        )
        file = io.BytesIO()
        with wave.open(file, "wb") as written:
            written.setnchannels(1)
            written.setsampwidth(2)
            written.setframerate(rate)
            written.writeframes(samples.astype("<i2").tobytes())
        return file.getvalue()

    def picture(self, value: Sound | None) -> bytes | None:
        """Its log-mel features, low notes below, as a PNG of at most 512 pixels."""
        if value is None or not self.hertz:
            return None
        one = self._one(value)
        count = int(lengths(one, self.hertz))
        values = replace(self, order=False).collate(one, None)
        assert isinstance(values, Tensor)
        found = values[0, 0, :, : max(1, count)].numpy()
        shown = PIL.Image.fromarray((255 * np.clip((found[::-1] + 3) / 6, 0, 1)).astype(np.uint8))
        shown = shown.resize(
            (min(512, shown.width), shown.height)
        )  # every band: a long clip is squeezed in time alone
        shown.save(file := io.BytesIO(), "PNG", optimize=True)
        return file.getvalue()


# --- reading --------------------------------------------------------------------------------------


def _looks_like_sound(cell: Any) -> bool:
    if isinstance(cell, Mapping):
        if set(cell) == {"array", "sampling_rate"} or set(cell) == {"array", "sampling_rate", "path"}:
            return True
        return set(cell) <= {"bytes", "path"} and _looks_like_sound(cell.get("bytes") or cell.get("path"))
    if isinstance(cell, (Blob, str, PurePath)):
        return PurePath(str(cell)).suffix.lower() in Audio.suffixes
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return Audio.is_file(bytes(cell[:32]))
    return isinstance(cell, Sound)


def _library(name: str) -> ModuleType:
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


def _bytes_of(cell: Any) -> tuple[str, bytes]:
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return f"{len(cell):,} bytes", bytes(cell)
    if not isinstance(cell, (Blob, str, PurePath)):
        raise CellError(
            f"expected a sound, got {type(cell).__name__} {shorten(cell)}.\nGive a path, bytes, an array (n[,"
            " channels]) or (array, rate)."
        )
    blob = cell if isinstance(cell, Blob) else Blob(str(cell), str(cell))
    try:
        return blob.name, blob.read()
    except (OSError, ValueError) as problem:  # ValueError: a NUL byte in the name
        raise CellError(
            f"{blob.name}: cannot be opened ({getattr(problem, 'strerror', None) or problem}).\nCheck the"
            " path."
        ) from problem


def _from_file(name: str, data: bytes) -> Sound:
    if not data:
        raise CellError(f"{name}: the file is empty (0 bytes).\nReplace or delete it.")
    soundfile = _library("soundfile")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.frames > MOST_SECONDS * file.samplerate:
                raise CellError(f"{name}: longer than {MOST_SECONDS // 60} minutes.\nCut it into clips.")
            rate, samples = file.samplerate, file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as problem:
        why = getattr(problem, "error_string", problem)  # without the object that was opened
        raise CellError(
            f"{name}: not a sound that can be read ({shorten(why, 80)}).\nReplace or delete it."
        ) from problem
    if lacks := lacking(data):
        raise CellError(f"{name}: cut off, {lacks:,} bytes fewer than its head says.\nReplace or delete it.")
    return _mixed(samples, rate, name)


def _from_array(array: np.ndarray, rate: Any) -> Sound:
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
    return _mixed(samples, int(rate), "the sound")


def _mixed(samples: np.ndarray, rate: int, name: str) -> Sound:
    """(n, channels) floats -> one channel, their mean, of 16 bits."""
    if not samples.size:
        raise CellError(f"{name}: the sound has no samples.\nReplace or delete it.")
    if not np.isfinite(samples).all():
        raise CellError(f"{name}: expected finite samples, got nan or infinity.\nReplace or delete it.")
    return Sound(_whole((samples[:, 0] if samples.shape[1] == 1 else samples.mean(1)) * 32768.0), rate)


def _whole(samples: np.ndarray) -> np.ndarray:
    """Samples in steps of 16 bits; the lowest step is kept for GAP."""
    return np.rint(samples).clip(-32767, 32767).astype(np.int16)


def _at_rate(value: Sound, hertz: int) -> np.ndarray:
    if value.rate in (0, hertz):
        return value.samples
    found = _whole(_library("soxr").resample(value.samples.astype(np.float32), value.rate, hertz))
    return found if len(found) else value.samples[:1]


def _loudest(samples: np.ndarray, most: int) -> np.ndarray:
    """The `most` neighbouring samples of greatest energy."""
    if len(samples) <= most:
        return samples
    total = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    start = int(np.argmax(total[most:] - total[:-most]))
    return samples[start : start + most]


def _loudness(samples: np.ndarray) -> float:
    """dB of full scale."""
    return 10 * math.log10(np.mean((samples / 32768.0) ** 2) + 1e-10)


def _stretches(value: Sound, number: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, len(value.samples), max(1, min(number, len(value.samples))) + 1).astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
