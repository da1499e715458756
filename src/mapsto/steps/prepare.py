"""Everything that is decided before the first step: rows scanned, split, types inferred and fitted, cells
encoded, recipe chosen.

What was decided goes into the run's record; afterwards a run needs only that record, `rows.npz` and the
encoded cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

from mapsto import models, recipes
from mapsto.batch import Batch, Ragged
from mapsto.checks._gate import gate
from mapsto.config import Reading, Settings, Training
from mapsto.data import cache
from mapsto.data.encode import encode_source
from mapsto.data.encode_chunk import spots
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.data.split import TEST
from mapsto.data.store import Store
from mapsto.errors import RunError
from mapsto.events import Emit
from mapsto.files import COPY, read_arrays, write_atomic
from mapsto.run.folder import START
from mapsto.run.known_rows import LEARNED
from mapsto.signature import Signature
from mapsto.source import SPLITS, Prepared, Source
from mapsto.steps.rows import Ready, make_ready
from mapsto.steps.words import column_words, line_words, optimizer_words
from mapsto.training.checkpoint import unshared
from mapsto.training.machine import choose_device, machine, machine_speed, text_speed
from mapsto.types.base import DataType

if TYPE_CHECKING:
    from mapsto.run import Run
    from mapsto.run.warm_start import WarmStart

Types = dict[tuple[str, str], DataType]
ENDLESS = 20_000  # rows that a recipe is to reckon with where nobody knows how many there are


def prepare(run: Run, source: Source, emit: Emit) -> None:
    """Decide, and write it into the run. The record's `fold` says which part of a cross-validation it is, -1
    the net that follows it."""
    earlier, fold = _warm_start(run.record), run.record.get("fold")
    settings = earlier.wished(run.settings) if earlier else run.settings
    for sentence in source.said:
        emit({"event": "said", "text": sentence})
    before = _splits_before(run)
    ready = source.prepare(
        run.record["asked"],
        settings,
        lambda rows: make_ready(rows, run.record["asked"], settings, emit, fold, earlier, run.path, before),
    )
    signature, types = ready.signature, dict(ready.types)
    quiet = fold not in (None, 0)  # the parts of a cross-validation hold the same rows: said once
    if isinstance(ready, Ready):
        gate(
            ready.evidence, run.path, (lambda event: None) if quiet else emit, not settings.report.no_samples
        )
    facts = _facts(run, ready, settings, earlier)
    has_rows = isinstance(ready, Ready)
    choice = recipes.choose(facts, settings if has_rows else replace(settings, metric=None))
    if not has_rows:  # what is measured is the learner's to say
        choice = replace(choice, best=_asked_best(signature, settings.metric))
    written = str(signature)
    augmented: list[str] = []
    if isinstance(ready, Ready):
        signature, types, augmented = _with_recipe(signature, types, choice, ready.store)
    if has_rows and settings.report.positive is not None:
        from mapsto.run.positive import check_positive

        check_positive(
            settings.report.positive,
            [types["output", s.name].output(choice.kinds[s.name]) for s in signature.outputs],
        )
    begun = (
        [f"starts from {earlier.name}: its model, what its rooms learned, its weights"]
        if earlier and earlier.model
        else []
    )
    reading = [
        *ready.said,
        *([*ready.left_out, ready.parts.said] if isinstance(ready, Ready) else []),
        *augmented,
        *column_words(signature, types),
    ]
    rows = {name: ready.batches.size(name) or 0 for name in SPLITS}
    said = [*begun, *reading, *optimizer_words(choice), *line_words(choice, rows["validation"])]
    if isinstance(ready, Ready):
        _save_rows(run, ready)
    run.save(
        signature=signature.to_json(),
        signature_text=written,
        types=_rooms_to_json(signature, types),
        choice=choice.to_json(),
        store=None if ready.folder is None else str(ready.folder),
        rows=rows,
        unreadable=_unreadable(ready),
        said=[*source.said, *said],
        machine=machine(),
    )
    _forget(run)
    said = [*_load_pretrained(run), *said]
    run.save(said=[*source.said, *said])
    emit(
        {
            "event": "decided",
            "signature": written,
            "rows": rows,
            "total": sum(rows.values()),
            "classes": _classes(signature, types),
            "choice": str(choice),
            "reasons": list(choice.reasons),
            "best": choice.best,
            "said": said,
            "reading": reading,
            "unreadable": run.record["unreadable"],
            "inferred": written != run.record["asked"],
        }
    )


def reopen(run: Run, given: Any = None) -> Source:
    """The data a run was made from, with all rows that were added later; RunError when it is gone or has
    changed. given: what came from memory, again; a tuple where that was several times."""
    parts = parts_of(run)
    memory = [part for part in parts if not part["locations"]]
    again = given if isinstance(given, tuple) else () if given is None else (given,)
    if len(again) not in (len(memory), len(parts)):
        times = f" {len(memory)} times" if len(memory) > 1 else ""
        raise RunError(
            f"{run.path}: its data was given from memory{times}, and is to be read again; got {len(again)}.\n"
            f"Give it again: mapsto.resume(run, data=…){', a tuple of them, in order' if times else ''}"
        )
    place = iter(again)
    sources = [
        _reopened(run, part, None if part["locations"] and len(again) < len(parts) else next(place, None))
        for part in parts
    ]
    if len(sources) == 1:
        return sources[0]
    from mapsto.data.added import together

    return together(sources)


def parts_of(run: Run) -> list[dict[str, Any]]:
    """Where a run's rows come from: {"name", "locations", "fingerprint", "reading"} of the first data, and of
    each that was added."""
    data = run.record["data"]
    return data.get("parts") or [{**data, "reading": run.record["settings"]["reading"]}]


def record_of(source: Source) -> dict[str, Any]:
    """What a run's record says of its data."""
    found = {"name": source.name, "locations": list(source.locations), "fingerprint": source.fingerprint}
    return found if source.kind == "rows" else {**found, "kind": source.kind}


def part_of(source: Source, reading: Reading) -> dict[str, Any]:
    """The record of one of them."""
    return {
        "name": source.name,
        "locations": list(source.locations),
        "fingerprint": source.fingerprint,
        "reading": vars(reading),
    }


def reading_of_new(run: Run, new: Reading) -> Reading:
    """How new rows are opened: as the others, but for what the signature says by now, and the test rows,
    which are there."""
    known = run.settings.reading
    follow, root = known.follow_links or new.follow_links, new.root or known.root
    return replace(known, target=None, test=None, follow_links=follow, root=root)


def _reopened(run: Run, part: Mapping[str, Any], given: Any) -> Source:
    places = part["locations"]
    source = open_source(
        given if given is not None else places if len(places) > 1 else places[0], Reading(**part["reading"])
    )
    if source.fingerprint != part["fingerprint"]:
        raise RunError(
            f"{source.name}: has changed since the training began, so it cannot be continued exactly.\n"
            "Put the data back as it was, or train anew: mapsto train DATA"
        )
    return as_asked(run.signature if run.record.get("signature") else run.record["asked"], source)


def _splits_before(run: Run) -> np.ndarray | None:
    """(m,) the splits of the rows that the segment before had; None where no rows were added."""
    if "parts" not in run.record["data"]:
        return None
    return read_arrays(run.path / run.record["segment"] / "rows.npz", ["split"])["split"]


def store_of(run: Run, source: Callable[[], Source], emit: Emit) -> Any:
    """What the run's learner is given (`learners.base.Batches`): its encoded rows, encoded again when the
    cache was emptied; of a stream or an environment, what its source gives."""
    store = _stored(run, source, emit) if run.record.get("store") else None
    if run.record["data"].get("kind", "rows") == "rows":
        if store is None:
            raise RunError(f"{run.path / 'run.json'}: is damaged (store is missing).\n{COPY}")
        return store
    return source().batches(run.signature, run.types, store, run.settings)


def _stored(run: Run, source: Callable[[], Source], emit: Emit) -> Store:
    folder, rows = Path(run.record["store"]), run.kept_rows()
    if not cache.whole(folder):
        folder = encode_source(
            source(),
            run.signature,
            run.types,
            len(rows["split"]),
            lambda done, total: emit({"event": "encode", "rows": done, "total": total}),
            run.settings.reading.store,
        )
        run.save(store=str(folder))
    return Store(folder, run.signature, run.types, rows["split"], rows.get("weight"), rows.get("group"))


def _warm_start(record: Mapping[str, Any]) -> WarmStart | None:
    """What the run goes on from, where it goes on from anything."""
    if "known_types" not in record and record.get("start") is None:
        return None
    from mapsto.run.warm_start import WarmStart

    return WarmStart.of(record)


def _load_pretrained(run: Run) -> list[str]:
    """First weights that the model's file has from elsewhere, such as a public model's, into the run, which
    then needs the place no more. What to say of them."""
    if "start_from" in run.record:
        return []
    model = run.new_model()
    said = models.load_pretrained(
        run.choice.model, model, run.signature, run.choice.model_options, run.choice.found
    )
    if said is None:
        return []
    weights = unshared({name: value.contiguous() for name, value in model.state_dict().items()})
    write_atomic(run.path / START, lambda path: save_file(weights, path))
    run.save(start_from=START)
    return said


def _facts(run: Run, ready: Prepared, settings: Settings, earlier: WarmStart | None) -> recipes.Facts:
    """What recipes decide by."""
    timed = settings.budget.steps is None and settings.budget.epochs is None
    store, device = ready.store if isinstance(ready, Ready) else None, choose_device(settings.training.device)

    def first(count: int) -> Batch:
        assert store is not None
        return store.batch(store.rows("train")[:count])

    lengths = None if store is None else store.lengths(store.rows("train"))
    return recipes.Facts(
        ready.signature,
        dict(ready.types),
        ENDLESS if ready.rows is None else ready.rows,
        (settings.budget.minutes or recipes.MINUTES) if timed else None,
        lambda: machine_speed(device),
        0 if lengths is None else int(lengths.sum()),
        lambda: None if store is None else _said(store),
        "start" in run.record,
        earlier.found if earlier else {},
        lambda: text_speed(device),
        step_timer(ready.signature, dict(ready.types), first, device)
        if timed and store is not None and settings.model is None
        else None,
        isinstance(ready, Ready) and ready.parts.exchangeable,
    )


def step_timer(
    signature: Signature, types: Types, rows: Callable[[int], Batch], device: torch.device
) -> Callable[[Mapping[str, Any], Training], float]:
    """What a step of the recipe's model takes on this machine. rows: so many of the data, encoded."""
    recipe = recipes.recipe_of(signature)

    def measure(options: Mapping[str, Any], training: Training) -> float:
        from mapsto.training.step_seconds import step_seconds

        kinds = recipes.output_kinds(signature, types)
        with torch.random.fork_rng():
            model = models.build(recipe.model, signature, types, options, kinds)
            return step_seconds(model, rows(training.batch or 1), training, device)

    return measure


def _with_recipe(
    signature: Signature, types: Types, choice: recipes.Choice, store: Store
) -> tuple[Signature, Types, list[str]]:
    """The recipe's options into the rooms whose owner named none; mirrored pictures only where they mean the
    same."""
    said: list[str] = []
    sides: dict[str, list] = {"input": [], "output": []}
    for side, slot in spots(signature):
        options = {
            name: value
            for name, value in choice.type_options.get(side, {}).get(slot.type, {}).items()
            if slot.options.get(name) is None
        }
        if "augment" in options:
            from mapsto.data.mirror import mirror_is_safe

            safe, told = mirror_is_safe(store, slot.name)
            options["augment"] += " flip" if safe else ""
            said.append(told)
        types = {**types, (side, slot.name): replace(types[side, slot.name], **options)}
        sides[side].append(replace(slot, options={**slot.options, **options}))
    return signature.with_slots(tuple(sides["input"]), tuple(sides["output"])), types, said


def _said(store: Store) -> tuple[np.ndarray, np.ndarray] | None:
    """(m,) steps of each training row's only input, and (m,) those that its answer takes at least; None where
    nothing is counted."""
    signature, rows = store.signature, store.rows("train")
    answers = store.raw(rows, [("output", slot.name) for slot in signature.outputs])
    least = [
        store.types[spot].min_input_steps(cells)
        for spot, cells in answers.items()
        if isinstance(cells, Ragged)
    ]
    if len(signature.inputs) != 1 or len(least) != 1 or least[0] is None:
        return None
    offsets = store.flat(("input", signature.inputs[0].name))[1]
    lengths = torch.from_numpy(offsets[rows + 1] - offsets[rows])
    return store.types["input", signature.inputs[0].name].steps(Ragged(torch.zeros(0), lengths)), least[0]


def _asked_best(signature: Signature, metric: str | None) -> tuple[str, str] | None:
    """--metric NAME[@SLOT] as it was asked for; None lets the learner's first metric decide."""
    name, _, slot = (metric or "").partition("@")
    return (slot or signature.outputs[0].name, name) if name else None


def _unreadable(ready: Prepared) -> int:
    """Rows that are no rows, or one of whose cells could not be read."""
    if not isinstance(ready, Ready):
        return 0
    return len(ready.store.bad) + len({p["row"] for p in ready.store.problems})


def _save_rows(run: Run, ready: Ready) -> None:
    parts, found = ready.parts, ready.found
    learned = (parts.of >= 0) & (parts.of != TEST)
    kept = {
        "split": parts.of,
        "test_hash": found.hashes[parts.of == TEST],
        LEARNED: np.unique(found.hashes[learned]),
    }
    if found.weights is not None:
        kept["weight"] = found.weights
    if found.groups is not None:
        kept["group"] = found.groups

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **kept)  # type: ignore[arg-type]

    write_atomic(run.path / "rows.npz", write)


def _classes(signature: Signature, types: Types) -> dict[str, int]:
    column_types: dict[str, Any] = {slot.name: types["output", slot.name] for slot in signature.outputs}
    return {
        name: len(column_type.vocabulary)
        for name, column_type in column_types.items()
        if "vocabulary" in vars(column_type)
    }


def _forget(run: Run) -> None:
    """Drop what was cached of the record before it was complete."""
    for name in ("signature", "choice", "types", "settings"):
        vars(run).pop(name, None)


def _rooms_to_json(signature: Signature, types: Types) -> dict[str, dict[str, Any]]:
    """The fitted rooms by side and slot."""
    return {
        side: {slot.name: types[side, slot.name].to_json() for slot in slots}
        for side, slots in (("input", signature.inputs), ("output", signature.outputs))
    }
