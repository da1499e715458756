"""Sounds as nets see them: log-mel features of a whole batch at once, and what training does to them.

Energies of 25 ms windows every 10 ms in bands of equal width on the mel scale (Davis & Mermelstein 1980;
O'Shaughnessy's formula), over the clip's own mean, as logarithms. In training: noise, another microphone,
warps of time and pitch, and masks (SpecAugment, Park et al. 2019), one draw an example. What nets begin with:
the spectrum as a picture, or its frames in order as tokens. Letters: B batch, N samples, T frames, M mel
bands.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Draw, Padded, moved
from mapsto.types.audio._frames import GAP, STRIDES, shortened, steps_of

FLOOR = 1e-8  # of full scale's energy: 80 dB below; a clip that is no louder in the mean is silence
FAINT = 1e-6  # of a clip's mean energy, 60 dB below: what is fainter is not told apart
KNOTS = 6  # places on the mel scale at which another microphone hears more or less
AT_ONCE = 1 << 23  # samples in windows that are transformed together: some 100 MB
CHANNELS = 32  # of the convolutions that make frames tokens


@cache
def filters(rate: int, bands: int) -> Tensor:
    """(bins, M) float32: triangles of height 1, equally wide on the mel scale from 20 Hz to half the rate."""
    bins = transform(rate) // 2 + 1
    hertz = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (20, rate / 2))
    edges = 700 * (10 ** (torch.linspace(low, high, bands + 2, dtype=torch.float64) / 2595) - 1)
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    found = torch.minimum(rising, falling).clamp(min=0)
    nearest = (hertz[:, None] - edges[1:-1]).abs().argmin(0)  # a band narrower than a bin has the nearest one
    empty = found.sum(0) == 0
    found[nearest[empty], torch.arange(bands)[empty]] = 1.0
    return found.float()


def transform(rate: int) -> int:
    """Points of the Fourier transform: a power of two that holds a window."""
    return 1 << (steps_of(rate)[0] - 1).bit_length()


def lengths(samples: Tensor, rate: int) -> Tensor:
    """Stored (B, N) int16 -> (B,) int64: frames that begin within each clip; 0 for a missing one."""
    hop = steps_of(rate)[1]
    frames = 1 + (samples.shape[1] - steps_of(rate)[0]) // hop
    return (((samples != GAP).sum(1) + hop - 1) // hop).clamp(max=frames)


def energies(samples: Tensor, rate: int, bands: int) -> Tensor:
    """Stored (B, N) int16 -> (B, T, M) float32: energy in each band, 1 for a tone at full scale."""
    window, hop = steps_of(rate)
    shape, weights = (
        torch.hann_window(window, device=samples.device),
        moved(filters(rate, bands), samples.device),
    )
    scale = 1 / (32768 * shape.sum() / 2)

    def some(part: Tensor) -> Tensor:
        sound = torch.where(part == GAP, 0, part).float() * scale
        found = torch.fft.rfft(sound.unfold(1, window, hop) * shape, transform(rate))
        return (found.real.square() + found.imag.square()) @ weights  # (b, T, bins) @ (bins, M)

    if torch.compiler.is_exporting():
        return _by_convolution(samples, shape * scale, hop, transform(rate)) @ weights
    frames = 1 + (samples.shape[1] - window) // hop
    if not len(samples):  # no transform of nothing
        return torch.zeros(0, frames, bands, device=samples.device)
    parts = samples.split(max(1, AT_ONCE // (frames * window)))
    return torch.cat([some(part) for part in parts])


def _by_convolution(samples: Tensor, shape: Tensor, hop: int, points: int) -> Tensor:
    """Stored (B, N) -> (B, T, bins): the squared amounts of windows of that shape (W,) in a Fourier
    transform, as one convolution: exported nets have no quick transform."""
    window = shape.shape[0]
    angle = torch.arange(window, dtype=torch.float64) * torch.arange(points // 2 + 1)[:, None]  # (bins, W)
    angle = 2 * math.pi / points * angle
    waves = torch.cat([angle.cos(), angle.sin()]) * shape.double()
    sound = torch.where(samples == GAP, 0, samples).float()[:, None]
    found = F.conv1d(sound, waves.float()[:, None], stride=hop).square()  # (B, 2 bins, T)
    return (found[:, : angle.shape[0]] + found[:, angle.shape[0] :]).transpose(1, 2)


def noised(energy: Tensor, count: Tensor, rate: int, share: float, draw: Draw) -> Tensor:
    """Energies (B, T, M), with `count` (B,) frames each: for a share of the clips with white noise from 40 to
    5 dB below the clip's own energy. Energies of independent sounds add up in the mean; a window's share of
    noise is exponential."""
    _, frames, bands = energy.shape
    drawn = draw.uniform("sound noise", 2)
    white = moved(filters(rate, bands).sum(0), energy.device)
    hiss = -torch.log1p(-draw.uniform(f"hiss {frames} {bands}", frames, bands)) * (white / white.sum())
    own = energy.sum((1, 2)) / count.clamp(min=1)
    level = own * 10 ** (-(5 + 35 * drawn[:, 0]) / 10) * (drawn[:, 1] < share)
    return energy + level[:, None, None] * hiss


def equalised(energy: Tensor, most: float, draw: Draw) -> Tensor:
    """Energies (B, T, M), bands louder or quieter by up to `most` dB, neighbours alike, as another microphone
    or room would have them (FilterAugment, Nam et al. 2022)."""
    gain = most * (2 * draw.uniform("equaliser", KNOTS) - 1)[..., None]  # (B, K, 1)
    place = torch.linspace(0, KNOTS - 1, energy.shape[2], device=energy.device).expand(len(energy), -1)
    return energy * 10 ** (_between(gain, place)[:, None, :, 0] / 10)


def levelled(energy: Tensor, count: Tensor) -> Tensor:
    """Energies (B, T, M), with `count` (B,) frames each, over each clip's mean: how loud it is says how near
    the microphone was, and voices that were not heard in training may be 20 dB quieter. Silence stays
    silent."""
    known = torch.arange(energy.shape[1], device=energy.device) < count[:, None]
    mean = (energy.sum(2) * known).sum(1) / count.clamp(min=1)
    return energy / mean.clamp(min=FLOOR)[:, None, None]


def centred(features: Tensor, count: Tensor) -> Tensor:
    """Features (B, T, M), with `count` (B,) frames each, without each band's mean over the clip: what a
    microphone and a room multiply all of it by goes (cepstral mean normalisation, Atal 1974)."""
    known = (torch.arange(features.shape[1], device=features.device) < count[:, None])[..., None]
    return features - ((features * known).sum(1) / count.clamp(min=1)[:, None])[:, None]


def warped(features: Tensor, count: Tensor, shift: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """Features (B, T, M) and which frames are the clip's own (B, T): up to 10% quicker or slower, earlier or
    later by up to `shift` of the window that is read, and higher or lower by up to 10% of the mel scale, as
    of a speaker with another throat (Jaitly & Hinton 2013).
    """
    frames = features.shape[1]
    speed, begin, pitch = (2 * draw.uniform("sound warp", 3) - 1)[..., None].unbind(1)  # (B, 1) each
    place = (torch.arange(frames, device=features.device) - begin * shift * frames) * (
        1 + 0.1 * speed
    )  # (B, T)
    last = (count - 1).clamp(min=0)[:, None]
    known = (place >= 0) & (place <= last) & (count > 0)[:, None]
    return _higher(_between(features, torch.minimum(place.clamp(min=0), last)), pitch), known


def paced(features: Tensor, count: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """Features (B, T, M) of `count` (B,) frames each, up to 10% quicker or slower, and higher or lower as
    `warped` has it, and how many frames each then has: no frame of the clip is lost, so that what is said in
    it stays whole."""
    speed, pitch = (2 * draw.uniform("sound pace", 2) - 1)[..., None].unbind(1)  # (B, 1) each
    lasting = (count / (1 + 0.1 * speed[:, 0])).round().long().clamp(min=1) * (count > 0)
    place = torch.arange(
        max(features.shape[1], int(lasting.max()) if len(lasting) else 0), device=features.device
    ) * (1 + 0.1 * speed)  # (B, T)
    return (
        _higher(_between(features, torch.minimum(place, (count - 1).clamp(min=0)[:, None])), pitch),
        lasting,
    )


def _higher(features: Tensor, pitch: Tensor) -> Tensor:
    """Features (B, T, M), higher or lower by up to 10% of the mel scale. pitch (B, 1) in -1 … 1."""
    bands = features.shape[2]
    height = (torch.arange(bands, device=features.device) * (1 + 0.1 * pitch)).clamp(max=bands - 1)  # (B, M)
    return _between(features.transpose(1, 2), height).transpose(1, 2)


def _between(values: Tensor, place: Tensor) -> Tensor:
    """(B, T, M) at places (B, T) of its second axis: between two steps their mean by distance."""
    before = place.floor().long()
    after = (before + 1).clamp(max=values.shape[1] - 1)

    def at(index: Tensor) -> Tensor:
        return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))

    part = (place - before)[..., None]
    return at(before) * (1 - part) + at(after) * part


def masked(features: Tensor, times: int, draw: Draw, share: float = 0.2) -> Tensor:
    """Features (B, T, M), 0 in `times` stretches of time, each up to `share` of what there is, and in as many
    of bands, up to a fifth."""
    hidden = torch.zeros(features.shape, dtype=torch.bool, device=features.device)
    drawn = draw.uniform(f"{times} sound masks", times, 4)
    for axis, shape in ((1, (1, -1, 1)), (2, (1, 1, -1))):
        size = features.shape[axis]
        index = torch.arange(size, device=features.device).view(shape)
        for one in drawn.unbind(1):  # (B, 4)
            wide = one[:, 2 * axis - 2] * (share if axis == 1 else 0.2) * size
            start = one[:, 2 * axis - 1] * (size - wide)
            hidden = hidden | ((index >= start[:, None, None]) & (index < (start + wide)[:, None, None]))
    return features.masked_fill(hidden, 0.0)


# --- what nets begin with -------------------------------------------------------------------------


class Spectrum(nn.Module):
    """(B, 1, M, T) as it is: models bring their own first layer. size: the side of a square of as many
    places."""

    gives = "map"

    def __init__(self, size: int):
        super().__init__()
        self.channels, self.size = 1, size

    def forward(self, features: Tensor) -> Tensor:
        return features


class SmallSpectrum(nn.Module):
    """(B, 1, M, T), or Padded (B, T, M) of which each clip's own frames count -> (B, F): enough for a linear
    model to be a fair baseline."""

    gives = "pooled"
    features = 16 * 16

    def forward(self, features: Tensor | Padded) -> Tensor:
        if isinstance(features, Tensor):
            return F.adaptive_avg_pool2d(features, 16).flatten(1)
        values, lengths = features.values, features.lengths.clamp(min=1)[:, None]
        bands = F.adaptive_avg_pool1d(values, 16) * features.mask[..., None]  # (B, T, 16)
        part = (torch.arange(values.shape[1], device=values.device) * 16 // lengths).clamp(max=15)  # (B, T)
        weight = F.one_hot(part, 16).to(values.dtype) * features.mask[..., None]
        return (weight.mT @ bands / weight.sum(1)[..., None].clamp(min=1)).flatten(1)


class Frames(nn.Module):
    """Padded (B, T, M) -> Padded tokens (B, T / stride, D): two convolutions over time and pitch, as speech
    recognisers begin (Dong et al. 2018). What lies behind a clip's end is 0 before each, so that it says
    nothing."""

    gives = "tokens"

    def __init__(self, bands: int, stride: int, width: int):
        super().__init__()
        first, second = STRIDES[stride]
        self.strides = (first, second)
        self.rise = nn.Conv2d(1, CHANNELS, 3, (first, 2), 1)
        self.mix = nn.Conv2d(CHANNELS, CHANNELS, 3, (second, 2), 1)
        self.project = nn.Linear(CHANNELS * -(-bands // 4), width)

    def forward(self, features: Padded) -> Padded:
        x, lengths, counts = features.values[:, None], features.lengths, features.counts  # (B, 1, T, M)
        for layer, stride in zip((self.rise, self.mix), self.strides, strict=True):
            lengths, counts = shortened(lengths, stride), tuple(shortened(count, stride) for count in counts)
            x = F.silu(layer(x))
            x = x * (torch.arange(x.shape[2], device=x.device) < lengths[:, None])[:, None, :, None]
        return Padded(self.project(x.transpose(1, 2).flatten(2)), lengths, counts)


def features(energy: Tensor, count: Tensor) -> Tensor:
    """(B, T, M) energies of clips of `count` (B,) frames -> their logarithms, over each clip's own mean."""
    return (levelled(energy, count) + FAINT).log()
