"""Does a refactoring change what is learned? One tiny training of every signature of the README, on made
data, fixed steps and seed.

    python -m benchmarks.same_weights --save before.json       at the commit to compare with
    python -m benchmarks.same_weights --against before.json    at the commit that claims to change nothing

Weights, test metrics and predictions are compared bit for bit: equal only on one machine with one PyTorch, so
the record of one commit is made where the other's is. Uses what users use and nothing else (`mapsto.train`,
`Run.predict`, the run's files), so that modules may move.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from safetensors.numpy import load_file

import mapsto

OPTIONS = {
    "steps": 12,
    "batch": 16,
    "threads": 1,
    "plan": "default",
    "precision": "float32",
    "seed": 0,
    "no_samples": True,
    "allow": "leakage",
}
WORDS = "the a cat dog sits runs on under mat tree red blue good bad very old new house sea wind".split()  # noqa: SIM905
Case = tuple[Any, str | None, dict[str, Any]]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def sentence(draw: np.random.Generator, words: int = 6) -> str:
    return " ".join(draw.choice(WORDS, words))


def picture(draw: np.random.Generator, light: float) -> PIL.Image.Image:
    values = draw.normal(light, 30, (16, 16, 3)).clip(0, 255).astype(np.uint8)
    return PIL.Image.fromarray(values)


def pictures(folder: Path, draw: np.random.Generator) -> Path:
    """120 pictures with metadata: kind, shades, age and notes."""
    folder.mkdir()
    rows = []
    for i in range(120):
        dark = i % 2 == 0
        picture(draw, 80 if dark else 170).save(folder / f"{i:03d}.png")
        shades = [name for name, there in (("dark", dark), ("odd", i % 3 == 0)) if there]
        more = {
            "age": int(draw.integers(20, 60)) + 20 * dark,
            "notes": sentence(draw) + (" night" if dark else " day"),
        }
        rows.append({"file_name": f"{i:03d}.png", "kind": ("dark", "light")[i % 2], "shades": shades, **more})
    write_rows(folder / "metadata.jsonl", rows)
    return folder


def clips(folder: Path, draw: np.random.Generator) -> Path:
    """80 tones of 0.3 to 0.6 s at 8 kHz, with their pitch and a transcript."""
    folder.mkdir()
    rows = []
    for i in range(80):
        hertz = (300, 900)[i % 2]
        time = np.arange(int(draw.integers(2400, 4800))) / 8000
        samples = 8000 * np.sin(2 * np.pi * hertz * time) + draw.normal(0, 300, len(time))
        with wave.open(str(folder / f"{i:03d}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(samples.astype("<i2").tobytes())
        said = ("low", "high")[i % 2]
        rows.append(
            {"file_name": f"{i:03d}.wav", "pitch": said, "text": " ".join([said] * int(draw.integers(1, 3)))}
        )
    write_rows(folder / "metadata.jsonl", rows)
    return folder


def texts(path: Path, draw: np.random.Generator) -> Path:
    """200 sentences with what can be said of them: stars, tags of words, an answer that stands in them, a
    translation."""
    rows = []
    for i in range(200):
        words = [*draw.choice(WORDS, 6), ("good", "bad")[i % 2]]
        topics = [word for word in ("cat", "sea", "red") if word in words]
        tags = ["B-beast" if word in ("cat", "dog") else "O" for word in words]
        row = {
            "review": " ".join(words),
            "stars": ("up", "down")[i % 2],
            "topics": topics,
            "length": len(" ".join(words)),
        }
        more = {
            "words": words,
            "tags": tags,
            "question": "which one ?",
            "answer": words[2],
            "backwards": " ".join(reversed(words)),
        }
        rows.append({**row, **more})
    return write_rows(path, rows)


def cells(path: Path, draw: np.random.Generator) -> Path:
    """400 rows of numbers, categories, dates and missing cells."""
    rows = []
    for i in range(400):
        a, b, city = draw.normal(), draw.normal(), ("Rome", "Oslo", "Lima")[int(draw.integers(3))]
        price = 3 * a - b + (city == "Rome")
        labels = [name for name, there in (("a", a > 0), ("b", b > 0)) if there]
        day = f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}"
        answers = {"price": price, "rich": ("no", "yes")[price > 0], "labels": labels}
        rows.append({"a": a, "b": None if i % 11 == 0 else b, "city": city, "day": day, **answers})
    return write_rows(path, rows)


def talks(path: Path, draw: np.random.Generator) -> Path:
    rows = []
    for _ in range(60):
        asked = sentence(draw, 4)
        rows.append(
            {
                "messages": [
                    {"role": "user", "content": asked},
                    {"role": "assistant", "content": asked.upper()},
                ]
            }
        )
    return write_rows(path, rows)


def liked(path: Path, draw: np.random.Generator) -> Path:
    rows = [
        {
            "prompt": sentence(draw, 3),
            "chosen": sentence(draw, 3) + " good",
            "rejected": sentence(draw, 3) + " bad",
        }
        for _ in range(60)
    ]
    return write_rows(path, rows)


def cases(folder: Path) -> dict[str, Callable[[], Case]]:
    """name -> data, signature and options; made when asked for."""
    draw = np.random.default_rng(0)
    seen, heard = pictures(folder / "pictures", draw), clips(folder / "clips", draw)
    read, table = texts(folder / "texts.jsonl", draw), cells(folder / "cells.jsonl", draw)
    talk, pairs = talks(folder / "talks.jsonl", draw), liked(folder / "liked.jsonl", draw)
    book = folder / "book.txt"
    book.write_text("\n\n".join(sentence(draw, 40) for _ in range(120)), encoding="utf-8")
    flat = "a, b, city, day"
    small = {"batch": 4}
    decoder = {"model": "gpt(width=32,depth=2,heads=2)", **small}

    def plain(data: Path, signature: str | None, **options: Any) -> Callable[[], Case]:
        return lambda: (data, signature, options)

    def liking() -> Case:
        return pairs, "-> preference", {"start": str(folder / "runs" / "running text"), **small}

    return {
        "image -> category": plain(seen, "image -> kind:category", ema=0.9),
        "image -> categories": plain(seen, "image -> shades:categories"),
        "image -> number": plain(seen, "image -> age:number", model="resnet(depth=8,width=8)"),
        "audio -> category": plain(heard, "audio -> pitch:category"),
        "audio -> text": plain(heard, "audio -> text", **small),
        "text -> category": plain(read, "review:text -> stars:category"),
        "text -> categories": plain(read, "review:text -> topics:categories"),
        "text -> number": plain(read, "review:text -> length:number", model="lstm(width=16)"),
        "text by characters -> category": plain(read, "review:text(tokenizer=char) -> stars:category"),
        "text, transformer -> category": plain(
            read, "review:text -> stars:category", model="transformer(width=32,depth=2,heads=2)"
        ),
        "running text": plain(book, "-> text", **decoder),
        "messages -> text": plain(talk, "messages -> text", **decoder),
        "-> preference": liking,
        "text -> text": plain(
            read, "review:text -> backwards:text", model="seq2seq(width=32,depth=1)", **small
        ),
        "words -> tags": plain(read, "words:text -> tags", **small),
        "question, text -> span": plain(read, "question:text, review:text -> answer:span", **small),
        "* -> category": plain(table, f"{flat} -> rich:category", micro_batch=6),
        "* -> number": plain(table, f"{flat} -> price:number", optimizer="sgd", schedule="flat"),
        "* -> categories": plain(table, f"{flat} -> labels:categories", model="linear"),
        "* -> number, folds": plain(table, f"{flat} -> price:number", folds=2, steps=4),
        "notes, age -> category": plain(seen, "notes:text, age:number -> kind:category"),
        "image, age -> category, number": plain(
            seen, "image, notes:text -> kind:category, age:number", model="fusion(mix=attention,token=16)"
        ),
        "image, vit -> category": plain(
            seen, "image -> kind:category", model="vit(width=32,depth=2,heads=2,patch=4)"
        ),
    }


def digest(text: str | bytes) -> str:
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()[:16]


def weights_of(run: Path) -> str:
    """Names, shapes and bytes of every weight."""
    found = hashlib.sha256()
    for name, values in sorted(load_file(run / "model.safetensors").items()):
        found.update(f"{name} {values.dtype} {values.shape}".encode())
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()[:16]


def predictions_of(run: Any, data: Path) -> str:
    if not run.signature.inputs:
        return ""
    answers = [
        (name, found.value, found.probability)
        for answer in run.predict(data)
        for name, found in answer.predictions.items()
    ]
    return digest(repr(answers))


def train(name: str, case: Case, folder: Path) -> dict[str, str]:
    data, signature, options = case
    run = mapsto.train(
        data, signature, out=folder / "runs", name=name, emit=lambda event: None, **{**OPTIONS, **options}
    )
    shutil.move(run.path, folder / "runs" / name)
    run = mapsto.load(folder / "runs" / name)
    metrics = json.loads((run.path / "metrics.json").read_text())
    values = {
        slot: {metric: of["value"] for metric, of in found.items()} for slot, found in metrics["test"].items()
    }
    return {
        "weights": weights_of(run.path),
        "test": digest(json.dumps(values)),
        "predictions": predictions_of(run, data),
    }


def main(words: Sequence[str] | None = None) -> int:
    asked = argparse.ArgumentParser(description="Does a refactoring change what is learned?")
    asked.add_argument("--save", type=Path, help="write what was learned")
    asked.add_argument("--against", type=Path, help="compare with what was written")
    asked.add_argument("--only", help="names that contain this")
    asked.add_argument("--keep", type=Path, help="keep data and runs in this new folder")
    given = asked.parse_args(words)
    before = json.loads(given.against.read_text()) if given.against else {}
    folder = given.keep or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    found, changed = {}, []
    for name, made in cases(folder).items():
        if given.only and given.only not in name:
            continue
        found[name] = train(name, made(), folder)
        differs = [
            part for part, value in found[name].items() if name in before and before[name][part] != value
        ]
        changed += [name] if differs else []
        print(
            f"{name:32} {found[name]['weights']} "
            f" {'DIFFERS: ' + ', '.join(differs) if differs else 'equal' if name in before else ''}",
            flush=True,
        )
    if given.save:
        given.save.write_text(json.dumps(found, indent=1) + "\n")
    if not given.keep:
        shutil.rmtree(folder)
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
