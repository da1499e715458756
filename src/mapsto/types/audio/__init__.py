"""Sounds: wav, flac, ogg, mp3 and arrays of any rate, depth and number of channels in; samples of one rate in
the store, 16 bits each; normalised log-mel features in a batch, as a picture of one channel, or where a model
reads sequences as frames in order (`mapsto.types.audio.spectrum`).

A clip longer than what is read keeps its loudest part; read in order, every clip is whole, and `max` only
says how much of it is looked at at once. A clip's end, and a missing clip, are 0 after normalisation, which
is the mean; silence is not. Files are read by soundfile and brought to one rate by soxr, which come with `pip
install "mapsto[audio]"`. Letters: B batch, N samples, T frames, M mel bands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Blob, Column
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.lazy import is_tensor, torch
from mapsto.signature import Signature
from mapsto.types.audio import _frames
from mapsto.types.base import DataType, Layout, learned, quarters

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mapsto.batch import Draw, Padded, Ragged
    from mapsto.blocks import Item
    from mapsto.types.audio.files import Sound

MOST_UNASKED = 600.0  # seconds read of a clip before anybody knows how much is wanted
NOISE, QUIET = "noise, dB against the sound", "quieter, dB"


@dataclass(frozen=True)
class Audio(DataType):
    """A sound. Read value: Sound. Stored: int16 (N,), GAP behind the clip's end; of the clip's own length
    where it is read in order."""

    reading: ClassVar[tuple[str, ...]] = ("hertz", "most", "order", "stride")
    modality: ClassVar[str] = "audio"
    libraries: ClassVar[tuple[str, ...]] = ("soundfile", "soxr")
    unmistakable: ClassVar[bool] = True
    suffixes: ClassVar[frozenset[str]] = frozenset(
        {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"}
    )
    file_words: ClassVar[str] = "sounds (wav, flac, …)"
    placeholder: ClassVar[Any] = "clip.wav"
    web_kind: ClassVar[str] = "sound"

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
        from mapsto.types.audio import files

        known = self.most / self.hertz if self.hertz else self.max
        return files.read(cell, None if self.order else known or MOST_UNASKED)

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
        from mapsto.types.audio._fitting import fitted, moments

        known = [value for value in values if value is not None]
        column_type = replace(self, order=order, **fitted(known, name, self.rate, self.max, order))
        some = known[:: max(1, math.ceil(len(known) / 1000))]
        mean, std = moments(map(column_type._log_energies, some), column_type.bands)
        return replace(column_type, mean=mean, std=std)

    def _log_energies(self, value: Sound) -> Tensor:
        """(T, M) of a clip."""
        from mapsto.types.audio import spectrum

        samples = self._one(value)
        count = spectrum.lengths(samples, self.hertz)
        energy = spectrum.energies(samples, self.hertz, self.bands)
        return spectrum.features(energy, count)[0, : int(count)]

    @property
    def layout(self) -> Layout:
        assert self.most, "an audio room is asked for its layout before it is fitted"
        return Layout("int16", (None if self.order else self.most,))

    def encode(self, value: Sound | None) -> np.ndarray:
        from mapsto.types.audio import files

        if self.order:
            return np.empty(0, np.int16) if value is None else files.at_rate(value, self.hertz)
        found = np.full(self.most, _frames.GAP, np.int16)
        if value is not None:
            samples = files.loudest(files.at_rate(value, self.hertz), self.most)
            found[: len(samples)] = samples
        return found

    def decode_cell(self, array: np.ndarray) -> Sound | None:
        from mapsto.types.audio import files

        samples = array[array != _frames.GAP]
        return files.Sound(samples, self.hertz) if len(samples) else None

    def _samples(self, arrays: Tensor | Ragged) -> Tensor:
        """Encoded cells -> (B, N) int16, GAP behind each clip's end."""
        cells: Any = arrays
        if is_tensor(cells):
            return cells
        longest = _frames.samples_read(int(cells.lengths.max()) if len(cells) else 0, self.hertz)
        found = torch.full((len(cells), longest), _frames.GAP, dtype=torch.int16)
        return found.masked_scatter_(
            torch.arange(longest) < cells.lengths[:, None], cells.flat.to(torch.int16)
        )

    def _one(self, value: Sound | None) -> Tensor:
        """(1, N) int16."""
        from mapsto.batch import Ragged

        cell = self.encode(value)
        return self._samples(Ragged.of([cell]) if self.order else torch.from_numpy(cell)[None])

    def steps(self, arrays: Ragged) -> np.ndarray:
        """Tokens that a net makes of each clip."""
        frames = _frames.shortened(arrays.lengths.numpy(), _frames.steps_of(self.hertz)[1])
        return _frames.shortened(frames, self.stride or 1)

    def graph_inputs(self, arrays: Any) -> dict[str, np.ndarray]:
        return {"cells": _frames.padded(arrays, self.hertz)} if self.order else super().graph_inputs(arrays)

    def from_graph(self, tensors: Mapping[str, Tensor]) -> Tensor | Padded:
        """In order with a window of GAP behind: so a graph holds for clips that are shorter, too."""
        behind = _frames.steps_of(self.hertz)[0] if self.order else 0
        return self.collate(torch.nn.functional.pad(tensors["cells"], (0, behind), value=_frames.GAP), None)

    def collate(
        self, arrays: Tensor | Ragged, draw: Draw | None, geometry: Tensor | None = None
    ) -> Tensor | Padded:
        """(B, N) int16 -> (B, 1, M, T) float32; in order, Padded (B, T, M). Changed at random when `draw` is
        given."""
        from mapsto.types.audio import spectrum

        samples = self._samples(arrays)
        count = spectrum.lengths(samples, self.hertz)
        energy = spectrum.energies(samples, self.hertz, self.bands)
        if draw is not None and self.noise:
            energy = spectrum.noised(energy, count, self.hertz, self.noise, draw)
        if draw is not None and self.equaliser:
            energy = spectrum.equalised(energy, self.equaliser, draw)
        mean, std = (
            torch.tensor(part, dtype=torch.float32, device=samples.device) for part in (self.mean, self.std)
        )
        features = (spectrum.features(energy, count) - mean) / std
        if self.centre:
            features = spectrum.centred(features, count)
        if self.order:
            return self._in_order(features, count, draw)
        known = torch.arange(features.shape[1], device=samples.device) < count[:, None]
        if draw is not None and self.shift:
            features, known = spectrum.warped(features, count, self.shift, draw)
        if draw is not None and self.masks:
            features = spectrum.masked(features, self.masks, draw)
        return (features * known[..., None]).transpose(1, 2)[:, None].contiguous()

    def _in_order(self, features: Tensor, count: Tensor, draw: Draw | None) -> Padded:
        """Features (B, T, M), with `count` (B,) frames each -> Padded; in training as quick and as high as
        the draw says, and masked."""
        from mapsto.batch import Padded
        from mapsto.types.audio import spectrum

        if draw is not None and self.shift:
            features, count = spectrum.paced(features, count, draw)
        if draw is not None and self.masks:
            features = spectrum.masked(features, self.masks, draw, 0.05)
        known = torch.arange(features.shape[1], device=features.device) < count[:, None]
        counts = () if torch.compiler.is_exporting() else tuple(count.tolist())
        return Padded(features * known[..., None], count, counts)

    def stem(self, width: int | None) -> nn.Module:
        """width: the features themselves (map), or tokens (in order). None: averaged to at most 16×16 and
        flattened (pooled)."""
        from mapsto.types.audio.spectrum import Frames, SmallSpectrum, Spectrum

        if width is None:
            return SmallSpectrum()
        if self.order:
            return Frames(self.bands, self.stride or max(_frames.STRIDES), width)
        return Spectrum(self.side)

    @property
    def side(self) -> int:
        """Of a square of as many places as a clip's features have."""
        return math.ceil(math.sqrt(self.bands * _frames.frames_of(self.most, self.hertz)))

    # ---- for the data gate and for questions ----

    def summary_stats(self, arrays: Tensor | Ragged) -> dict[str, np.ndarray]:
        """Length in seconds and loudness in dB of full scale; nan for a missing clip."""
        arrays = self._samples(arrays)
        there = arrays != _frames.GAP
        count = there.sum(1).double()
        power = torch.where(there, arrays, 0).double().square().sum(1) / (count.clamp(min=1) * 32768**2)
        known = count.numpy() > 0
        found = {"length": (count / self.hertz).numpy(), "loudness": (10 * (power + 1e-10).log10()).numpy()}
        return {name: np.where(known, value, np.nan) for name, value in found.items()}

    def slices(self, values: Sequence[Sound | None]) -> dict[str, np.ndarray]:
        """Quarters by length; by loudness where all are of one length."""
        from mapsto.types.audio.files import loudness

        rate = self.hertz or 16_000
        seconds = [None if value is None else len(value.samples) / (value.rate or rate) for value in values]
        loud = [None if value is None else loudness(value.samples) for value in values]
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
        from mapsto.types.audio.files import whole

        sound = value.samples.astype(np.float64)
        if name == NOISE:
            sound += draw.normal(size=len(sound)) * np.sqrt(np.mean(sound**2)) * 10 ** (level / 20)
        else:
            sound *= 10 ** (-level / 20)
        return replace(value, samples=whole(sound))

    def parts(self, value: Sound | None, most: int) -> list[Sound]:
        """The sound with one stretch of it silent at a time."""
        from mapsto.types.audio.files import stretches

        found = []
        for low, high in [] if value is None else stretches(value, min(most, 24)):
            samples = value.samples.copy()  # type: ignore[union-attr]
            samples[low:high] = 0
            found.append(replace(value, samples=samples))  # type: ignore[type-var]
        return found

    def marked(self, value: Sound, weights: Sequence[float]) -> Item:
        from mapsto.blocks import Item
        from mapsto.types.audio.files import stretches

        rate = value.rate or self.hertz
        pieces = stretches(value, len(weights))
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
            return "—" if value is None else f"{value.length:,} samples"
        return f"{value.length / rate:.2f} s, {rate:,} Hz"

    def about(self, names: bool = True) -> str:
        return (
            f"{self.hertz:,} Hz, {self.most / self.hertz:.2f} s at {'once' if self.order else 'most'},"
            f" {self.bands} mel bands"
        )

    def said(self, name: str) -> str:
        told = f"'{name}' is read at {self.about()}"
        if self.order:
            return f"{told}, a token every {10 * (self.stride or max(_frames.STRIDES))} ms"
        return told + (
            f"; of {self.cut:.1%} of the clips, longer, the loudest part is read (max=…)" if self.cut else ""
        )

    def sound(self, value: Sound | None) -> bytes | None:
        """A wav of a few seconds."""
        from mapsto.types.audio.files import wav

        return None if value is None or not (value.rate or self.hertz) else wav(value, self.hertz)

    def picture(self, value: Sound | None) -> bytes | None:
        """Its log-mel features, low notes below, as a PNG of at most 512 pixels."""
        if value is None or not self.hertz:
            return None
        import io

        import PIL.Image

        from mapsto.types.audio.spectrum import lengths

        one = self._one(value)
        count = int(lengths(one, self.hertz))
        values: Any = replace(self, order=False).collate(one, None)
        found: Tensor = values[0, 0, :, : max(1, count)].numpy()
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
    if isinstance(cell, (bool, int, float, np.generic)):  # as tables have them: nothing is imported for these
        return False
    from mapsto.types.audio.files import Sound

    return isinstance(cell, Sound)
