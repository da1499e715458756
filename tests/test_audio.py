"""Sounds: any file and array in, features as defined, augmentation by draws, and a run from folders of tones."""

from __future__ import annotations

import builtins
import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import mapsto
from mapsto.batch import Draw
from mapsto.cells import Blob
from mapsto.data.open import open_source
from mapsto.errors import CellError, ConfigError, DataError, MapstoError
from mapsto.types.audio import NOISE, QUIET, Audio, spectrum
from mapsto.types.audio._frames import bands_of
from mapsto.types.audio.files import Sound

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")
RANDOM = np.random.default_rng(0)


def tone(hertz: float, seconds: float = 0.3, rate: int = 8000, loud: float = 0.5) -> np.ndarray:
    return (loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def file(samples: np.ndarray, rate: int = 8000, form: str = "WAV", subtype: str | None = None) -> bytes:
    held = io.BytesIO()
    soundfile.write(held, samples, rate, format=form, subtype=subtype)
    return held.getvalue()


def fitted(cells: list[Any], **options: Any) -> Audio:
    column_type = Audio.with_options("audio", options)
    return column_type.fit([column_type.read(cell) for cell in cells], {"side": "input", "rows": len(cells), "name": "clip"})


def stored(column_type: Audio, *cells: Any) -> torch.Tensor:
    return torch.from_numpy(np.stack([column_type.encode(column_type.read(cell)) for cell in cells]))


# --- reading ---------------------------------------------------------------------------------------------------------------------


def test_sixteen_bits_are_kept_as_they_are(tmp_path: Path) -> None:
    samples = RANDOM.integers(-32767, 32768, 800).astype(np.int16)
    for form in ("WAV", "FLAC"):
        (tmp_path / f"a.{form.lower()}").write_bytes(file(samples, form=form, subtype="PCM_16"))
        for cell in (tmp_path / f"a.{form.lower()}", Blob(str(tmp_path / f"a.{form.lower()}"), "a"), file(samples, form=form, subtype="PCM_16")):
            found = Audio().read(cell)
            assert found is not None and found.rate == 8000
            np.testing.assert_array_equal(found.samples, samples)
    column_type = fitted([(samples, 8000)])
    again = column_type.decode_cell(column_type.encode(Sound(samples, 8000)))
    assert again is not None and again.rate == 8000
    np.testing.assert_array_equal(again.samples, samples)
    assert column_type.decode_cell(column_type.encode(None)) is None


@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "PCM_U8"), ("WAV", "FLOAT"), ("WAV", "PCM_24"), ("OGG", "VORBIS"), ("MP3", None), ("AIFF", "PCM_16")]
)
def test_formats_depths_channels_and_rates(form: str, subtype: str | None) -> None:
    for rate in (8000, 48_000):
        stereo = np.stack([tone(440, rate=rate), tone(440, rate=rate, loud=0.3)], 1)
        found = Audio().read(file(stereo, rate, form, subtype))
        assert found is not None and found.rate == rate and found.samples.dtype == np.int16
        near = found.samples[: len(stereo)] / 32768
        assert abs(len(found.samples) - len(stereo)) <= 0.1 * rate and np.corrcoef(near[1000:2000], stereo[1000:2000].mean(1))[0, 1] > 0.98


def test_arrays_of_every_kind() -> None:
    wanted = Audio().read((tone(300), 8000))
    assert wanted is not None
    stereo = np.stack([tone(300), tone(300)])
    for cell in (tone(300), tone(300).tolist(), stereo, stereo.T, torch.from_numpy(tone(300)), {"array": tone(300), "sampling_rate": 8000}):
        found = Audio().read(cell)
        assert found is not None
        np.testing.assert_array_equal(found.samples, wanted.samples)
    eight = Audio().read(np.array([0, 128, 255], np.uint8))
    assert eight is not None and eight.samples.tolist() == [-32767, 0, 32512]
    wide = Audio().read(np.array([2**31 - 1, -(2**30)], np.int32))
    assert wide is not None and wide.samples.tolist() == [32767, -16384]
    assert Audio().read(None) is None and Audio().read("") is None


def test_what_is_no_sound_is_refused_by_name(tmp_path: Path) -> None:
    whole = file(tone(300), form="FLAC")
    for name, data, why in (
        ("empty", b"", "0 bytes"),
        ("words", b"hello, no sound", "not a sound"),
        ("cut", whole[:30], "not a sound"),
        ("none", file(np.zeros(0, np.float32)), "no samples"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CellError, match=f"folder/{name}: .*{why}"):
            Audio().read(Blob(str(tmp_path / name), f"folder/{name}"))
    for cell in (np.array([0.0, np.nan]), np.zeros((40, 40)), (tone(300), "fast"), (tone(300), -1), np.zeros(0), 7):
        with pytest.raises(CellError):
            Audio().read(cell)
    with pytest.raises(CellError, match="cannot be opened"):
        Audio().read(str(tmp_path / "nothing.wav"))


def test_a_broken_file_is_named_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    whole = file(tone(440))
    (tmp_path / "noise.wav").write_bytes(b"RIFF\x10\x00\x00\x00WAVEfmt nonsense")
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "pipe.wav").write_bytes(whole[:40] + b"\xff\xff\xff\xff" + whole[44:])  # as ffmpeg writes to a pipe
    with pytest.raises(CellError, match=r"noise\.wav: not a sound that can be read \('.+'\)") as caught:
        Audio().read(Blob(str(tmp_path / "noise.wav"), "noise.wav"))
    assert "object at" not in str(caught.value)
    with pytest.raises(CellError, match=rf"half\.wav: cut off, {len(whole) - len(whole) // 2:,} bytes fewer than its head says"):
        Audio().read(Blob(str(tmp_path / "half.wav"), "half.wav"))
    assert len(Audio().read(Blob(str(tmp_path / "pipe.wav"), "pipe.wav")).samples) == 2400


def test_a_missing_library_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name in ("soundfile", "soxr"):
            raise ImportError(name)
        return plain(name, *more)

    data, column_type = file(tone(300)), fitted([(tone(300), 8000)])
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "soundfile")
    for ask in (lambda: Audio().read(data), lambda: column_type.encode(Sound(np.ones(90, np.int16), 16_000))):
        with pytest.raises(MapstoError, match=r'pip install "mapsto\[audio\]"') as told:
            ask()
        assert len(str(told.value).splitlines()) == 1


# --- what is fitted and stored ---------------------------------------------------------------------------------------------------


def test_rate_and_length_are_found_in_training_clips() -> None:
    clips = [(tone(300, 0.5, 8000), 8000)] * 3 + [(tone(300, 1.0, 96_000), 96_000)]
    column_type = fitted(clips)
    assert column_type.hertz == 8000 and 8000 <= column_type.most <= 8100 and column_type.bands == 40 and column_type.cut == 0
    assert fitted(clips[3:]).hertz == 32_000 and fitted(clips, rate=16_000).hertz == 16_000 and fitted([tone(300)]).hertz == 16_000
    assert fitted([*clips[:1]] * 198 + clips[3:]).most < 4200 and fitted([*clips[:1]] * 198 + clips[3:]).cut > 0
    assert column_type.fit([Sound(np.ones(90, np.int16), 48_000)], {"side": "input"}) == column_type
    minutes = (np.zeros(61 * 100, np.int16), 100)
    with pytest.raises(DataError, match=r"'clip'.*\n.*audio\(max=60\)"):
        fitted([minutes])
    assert fitted([minutes], max=2.0, rate=1000).most < 2100


def test_one_very_long_clip_among_few_is_cut_and_said() -> None:
    long, short = (np.ones(70 * 1000, np.int16), 1000), (tone(300, 0.5, 1000), 1000)

    column_type = fitted([short] * 40 + [long])

    assert 500 <= column_type.most < 1000 and "of 2.4% of the clips, longer, the loudest part is read" in column_type.said("clip")
    with pytest.raises(DataError, match="the longest training clip has 70 s"):
        fitted([short] * 40 + [long] * 2)


def test_resampling_keeps_the_tone() -> None:
    column_type = fitted([(tone(440, 0.5), 8000)])
    low, high = stored(column_type, (tone(440, 0.5), 8000), (tone(440, 0.5, 96_000), 96_000)).numpy()[:, 200:3800].astype(float)
    assert np.corrcoef(low, high)[0, 1] > 0.999
    ultrasound = stored(column_type, (tone(20_000, 0.5, 96_000), 96_000)).numpy()[0, 200:3800]
    assert np.abs(ultrasound).max() < 330  # 1% of full scale: nothing folds back
    assert (stored(column_type, (np.array([5], np.int16), 96_000)) != spectrum.GAP).sum() >= 1


def test_of_a_long_clip_the_loudest_part_is_read() -> None:
    column_type = fitted([(tone(300, 0.2), 8000)])
    quiet, loud = tone(300, 1.0, loud=0.01), tone(300, column_type.most / 8000)
    found = stored(column_type, (np.concatenate([quiet, loud, quiet]), 8000))[0].numpy()
    np.testing.assert_array_equal(found, (loud * 32768).round())


# --- features --------------------------------------------------------------------------------------------------------------------


def test_a_tone_lies_in_its_band_at_its_energy() -> None:
    for rate in (8000, 16_000, 44_100):
        bands = bands_of(rate)
        samples = torch.from_numpy((32767 * tone(1000, 0.2, rate, 1.0)).round().astype(np.int16))[None]
        found = spectrum.energies(samples, rate, bands)[0]
        centres = 700 * (10 ** (torch.linspace(*(2595 * np.log10(1 + np.array([20, rate / 2]) / 700)), bands + 2)[1:-1] / 2595) - 1)
        assert abs(int(found.mean(0).argmax()) - int((centres - 1000).abs().argmin())) <= 1
        assert 0.5 < found.sum(1).mean() < 3  # a window's main lobe covers some bins
        weights = spectrum.filters(rate, bands)
        assert (weights.sum(0) > 0).all() and weights.max() <= 1


def test_features_agree_with_a_plain_transform() -> None:
    samples = (3000 * RANDOM.normal(size=1000)).astype(np.int16)
    window, hop = spectrum.steps_of(8000)
    found = spectrum.energies(torch.from_numpy(samples)[None], 8000, 40)[0]
    shape = np.hanning(window + 1)[:-1]
    for t in range(len(found)):
        part = samples[t * hop : t * hop + window] / 32768 * shape / (shape.sum() / 2)
        wanted = np.abs(np.fft.rfft(part, 256)) ** 2 @ spectrum.filters(8000, 40).numpy()
        np.testing.assert_allclose(found[t].numpy(), wanted, rtol=1e-3, atol=1e-9)


def test_ends_and_missing_clips_are_zero_and_silence_is_not() -> None:
    column_type = fitted([(tone(300, 1.0), 8000), (tone(900, 0.2), 8000)])
    values = column_type.collate(stored(column_type, (tone(300, 0.2), 8000), None, (np.zeros(8000), 8000), (np.array([1], np.int16), 8000)), None)
    assert values.shape[:3] == (4, 1, 40) and torch.isfinite(values).all()
    assert (values[0, ..., 20:] == 0).all() and (values[0, ..., :20] != 0).any() and (values[1] == 0).all()
    assert (values[2, ..., 10] < -0.5).any() and (values[3, ..., 0] != 0).any() and (values[3, ..., 1:] == 0).all()


def test_training_clips_have_mean_zero_and_spread_one() -> None:
    clips = [(RANDOM.normal(0, 0.1, 4000).astype(np.float32).cumsum() / 30, 8000) for _ in range(20)]
    values = fitted(clips, max=0.5).collate(stored(fitted(clips, max=0.5), *clips), None)[..., :45]
    assert values.mean((0, 1, 3)).abs().max() < 0.1 and 0.5 < values.std() < 1.2


def test_augmentation_is_the_draws_alone() -> None:
    clips = [(tone(200 * k, 0.4), 8000) for k in range(1, 7)]
    plain = fitted(clips)
    arrays = stored(plain, *clips)
    before = arrays.clone()
    for change in ({"shift": 0.2}, {"noise": 1.0}, {"equaliser": 10.0}, {"masks": 2}, {"shift": 0.1, "noise": 0.5, "masks": 1}):
        column_type = replace(plain, **change)
        one, same, other = (column_type.collate(arrays, Draw(3, step, 6)) for step in (1, 1, 2))
        assert torch.equal(one, same) and not torch.equal(one, other) and torch.isfinite(one).all()
        assert torch.equal(column_type.collate(arrays, None), plain.collate(arrays, None))
    assert torch.equal(arrays, before)


def test_a_quieter_clip_sounds_the_same_and_silence_stays_silent() -> None:
    column_type = fitted([(tone(300, 0.5), 8000), (RANDOM.normal(0, 0.1, 4000), 8000)])
    clip = 0.5 * tone(500, 0.5) + RANDOM.normal(0, 0.05, 4000)
    loud, quiet, nothing = column_type.collate(stored(column_type, (clip, 8000), (clip / 30, 8000), (np.zeros(4000), 8000)), None)
    assert (loud - quiet).abs().max() < 0.5 and (loud - quiet).abs().mean() < 0.02  # 30 dB quieter is nearer the steps of 16 bits
    assert (nothing <= loud).float().mean() > 0.99


def test_other_microphones_hear_bands_louder_or_quieter_but_neighbours_alike() -> None:
    gain = 10 * spectrum.equalised(torch.ones(64, 3, 40), 10.0, Draw(0, 0, 64)).log10()
    assert gain.abs().max() <= 10.001 and gain.std() > 3 and torch.equal(gain[:, 0], gain[:, 2])
    assert (gain[:, 0, 1:] - gain[:, 0, :-1]).abs().max() <= 20 * (spectrum.KNOTS - 1) / 39 + 0.01


def test_centred_clips_sound_alike_through_any_microphone() -> None:
    clip = RANDOM.normal(0, 0.1, 4000).cumsum() / 30
    through = np.convolve(clip, [1.0, -0.6])[:4000]  # another microphone
    column_type = fitted([(clip, 8000)], centre=True)
    one, other = column_type.collate(stored(column_type, (clip, 8000), (through, 8000)), None)
    assert one.mean(-1).abs().max() < 1e-4 and (one - other).abs().mean() < 0.25 * one.abs().mean()


def test_masks_hide_up_to_a_fifth() -> None:
    ones = torch.ones(64, 50, 40)
    hidden = spectrum.masked(ones, 1, Draw(0, 0, 64)) == 0
    assert (hidden.all(2).sum(1) <= 10).all() and (hidden.all(1).sum(1) <= 8).all() and 0.05 < hidden.float().mean() < 0.3


def test_warps_move_time_and_pitch_by_up_to_a_tenth() -> None:
    count = torch.full((64,), 50)
    ramp = torch.arange(50.0)[None, :, None].expand(64, 50, 8)
    found, known = spectrum.warped(ramp, count, 0.1, Draw(0, 0, 64))
    steps = found[:, 1:, 0] - found[:, :-1, 0]
    inner = known[:, 1:] & known[:, :-1] & (found[:, 1:, 0] < 49)
    assert (steps[inner] > 0.89).all() and (steps[inner] < 1.11).all() and known.float().mean() > 0.8 and len(steps[inner].unique()) > 50
    bands = torch.arange(40.0)[None, None].expand(64, 50, 40)
    found, _ = spectrum.warped(bands, count, 0.0, Draw(0, 0, 64))
    assert (found[:, 10, 20] >= 17.9).all() and (found[:, 10, 20] <= 22.1).all() and found[:, 10, 20].std() > 0.5 and found.max() <= 39


def test_noise_is_as_loud_as_said() -> None:
    column_type = fitted([(tone(300, 1.0), 8000)])
    value = column_type.read((tone(300, 1.0), 8000))
    assert value is not None
    noisy, quiet = (column_type.corrupt(name, level, value, np.random.default_rng(0)) for name, level in ((NOISE, -10.0), (QUIET, 12.0)))
    assert noisy is not None and quiet is not None
    added = noisy.samples.astype(float) - value.samples
    assert 10 * np.log10((added**2).mean() / (value.samples.astype(float) ** 2).mean()) == pytest.approx(-10, abs=0.3)
    assert 20 * np.log10(value.samples.std() / quiet.samples.std()) == pytest.approx(12, abs=0.1)


def test_parts_are_stretches_of_time() -> None:
    column_type = fitted([(tone(300, 0.5), 8000)])
    value = column_type.read((tone(300, 0.5), 8000))
    assert value is not None
    parts = column_type.parts(value, 5)
    assert len(parts) == 5 and all((part.samples[k * 800 : (k + 1) * 800] == 0).all() for k, part in enumerate(parts))
    assert [text.strip() for text, _ in column_type.marked(value, [0.0] * 5).pieces][:2] == ["0.00–0.10 s", "0.10–0.20 s"]
    assert column_type.show(value) == "0.50 s, 8,000 Hz" and (column_type.picture(value) or b"").startswith(b"\x89PNG") and column_type.parts(None, 5) == []


# --- data and runs ---------------------------------------------------------------------------------------------------------------


def write_tones(folder: Path, number: int = 40) -> None:
    """Three classes: a tone that rises, one that falls, one that stays; of any pitch, loudness and length, in some noise."""
    for name, slope in (("falls", -0.4), ("rises", 0.4), ("stays", 0.0)):
        (folder / name).mkdir(parents=True)
        for i in range(number):
            time = np.arange(int(RANDOM.integers(1600, 3200))) / 8000
            start = RANDOM.uniform(600, 1500)
            phase = 2 * np.pi * start * (time + slope * time**2 / time[-1] / 2 * 1.5)
            samples = RANDOM.uniform(0.1, 0.6) * np.sin(phase) + RANDOM.normal(0, 0.02, len(time))
            soundfile.write(folder / name / f"{i:02d}.{'wav' if i % 2 else 'flac'}", samples, 8000)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds") / "tones"
    write_tones(folder)
    (folder / "rises" / "empty.wav").write_bytes(b"")
    return folder


def test_folders_and_metadata_of_sounds_open(tones: Path, tmp_path: Path) -> None:
    source = open_source(tones)
    assert source.columns == ("audio", "category") and source.guess == "audio -> category"
    soundfile.write(tmp_path / "a.wav", tone(300), 8000)
    with (tmp_path / "metadata.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["file_name", "label", "audio"], ["a.wav", "x", "1"], ["b.wav", "y", "2"]])
    source = open_source(tmp_path)
    (chunk,) = source.chunks()
    assert source.columns == ("audio", "label", "audio_2") and len(chunk) == 1 and "b.wav" in chunk.bad[0].why
    assert open_source(tmp_path / "a.wav").columns == ("audio",) == open_source([tmp_path / "a.wav", tones / "rises" / "01.wav"]).columns


def test_tones_are_learned_and_told_again(tones: Path, tmp_path: Path) -> None:
    run = mapsto.train(tones, out=tmp_path, steps=60, batch=16, model="resnet9(width=8)", seed=0, precision="float32")
    record = json.loads((run.path / "run.json").read_text())
    assert record["signature_text"].startswith("audio") and record["unreadable"] == 1
    assert "0 bytes" in (run.path / "quarantine.csv").read_text()
    right = sum(
        answer.predictions["category"].value == name
        for name in ("falls", "rises", "stays")
        for answer in run.predict(sorted(map(str, (tones / name).glob("0*.wav"))))
    )
    assert right >= 14  # of 15
    silence = run.predict([{"audio": (np.zeros(1), 8000)}, {"audio": None}])
    assert all(answer.predictions["category"].value in ("falls", "rises", "stays") for answer in silence)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="rate"):
        Audio.with_options("audio", {"rate": "fast"})
    with pytest.raises(ConfigError, match="shift"):
        Audio.with_options("audio", {"shift": 2.0})


def test_sounds_stand_beside_other_inputs(tmp_path: Path) -> None:
    rows = []
    for i in range(120):
        loud = RANDOM.uniform(0.1, 0.6)
        rows.append(
            {
                "clip": {"array": tone(900 if i % 2 else 400, 0.2, loud=loud), "sampling_rate": 8000},
                "age": float(RANDOM.normal()),
                "kind": "ab"[i % 2],
            }
        )
    how: dict[str, Any] = {"steps": 200, "lr": 5e-3, "batch": 16, "plan": "default", "threads": 1, "seed": 0, "emit": lambda event: None}
    model = "fusion(image_depth=8,image_width=8,width=32,token=16)"
    run = mapsto.train(rows, "clip:audio, age:number -> kind:category", model=model, out=tmp_path, **how)
    assert run.metrics["test"]["kind"]["accuracy"]["value"] > 0.9
    assert run.predict({"clip": (tone(900, 0.2), 8000), "age": 0.3}).predictions["kind"].value == "b"  # type: ignore[union-attr]
