"""A run: the one folder a person gets back. Create it, open it, predict, evaluate, embed, list.

    run.json              what was asked, what was decided and why, types, data, machine (format 1)
    decisions.jsonl       what clock, memory or a person decided while training
    rows.npz              which row trained, validated, tested; weights and groups
    log.jsonl             losses and metrics while training
    checkpoint*.safetensors   the state of an unfinished training
    model.safetensors     the best weights
    metrics.json          train, validation, test, baselines: value, interval, n, definition
    test-0.npz …          what was predicted for each test row, an output each
    baselines.npz         how each baseline fares on each test row
    novelty.safetensors   by what rows far from the training rows are known
    quarantine.csv        rows that could not be read, and why
    sections.json         what questions found; report.html and README.md are drawn from it

Nothing in it is pickled or executed; own files that it names are executed where a person names them again
(`mapsto.registry.trust`). Every file appears by rename, so it is whole or absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mapsto.batch import Batches, key
from mapsto.errors import DataError, RunError, SignatureError
from mapsto.run.folder import RunFolder
from mapsto.signature import Signature, Slot

if TYPE_CHECKING:
    from mapsto.batch import Batch
    from mapsto.errors import CellError
    from mapsto.learners.base import Learner
    from mapsto.measure.ood import FeatureHook, Novelty
    from mapsto.metrics import Metric
    from mapsto.prediction import Answer, Measured, Prediction
    from mapsto.source import Chunk, Source

PIECE = 1024  # rows predicted at once
CLASSES, INTERVAL = ("value", "probability", "set"), ("value", "low", "high")  # fields of a prediction


class NewRows(Batches):
    """Rows of a source that nobody has counted, each once."""

    def __init__(self, batches: Callable[[], Iterator[Batch]]):
        self._batches = batches

    def iterate(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        return self._batches()


class Run(RunFolder):
    """A trained model and everything known about it. Open one with `mapsto.load(path)`."""

    @cached_property
    def calibration(self) -> dict[str, Any]:
        return self.record.get("calibration", {})

    @cached_property
    def novelty(self) -> Novelty | None:
        """By what rows far from the training rows are known; None where there were too few, and in runs of an
        older mapsto."""
        from mapsto.measure.ood import Novelty

        return Novelty.load(self.path)

    @cached_property
    def _looking(self) -> FeatureHook | None:
        from mapsto.measure.ood import FeatureHook

        return FeatureHook.at(self.learner.model, self.signature, self.types) if self.novelty else None

    # ---- use it ----

    def predict(
        self,
        data: Any,
        *,
        given: Any = None,
        beam: int | None = None,
        penalty: float | None = None,
        temperature: float | None = None,
        lm: str | Path | None = None,
        lm_weight: float | None = None,
    ) -> list[Answer] | Answer:
        """Predictions for rows: a path, files, a PIL image or array, a dict (one row) or a list of any of
        these, a frame. given: rows with answers that these are to be answered by, where a way of learning
        asks for some (`batch.parts["support"]`). The other keywords say how answers are searched for, this
        once, as the command line does; `search` says it for good.

        One row in, one Answer out, or DataError when it cannot be read; many in, a list of them, where such
        rows have a `problem`.
        """
        asked = {"beam": beam, "penalty": penalty, "temperature": temperature, "lm_weight": lm_weight}
        how = {name: value for name, value in asked.items() if value is not None}
        learner = self._searching(lm, how) if how or lm is not None else None
        single, source = self._source(data)
        support = None if given is None else self._support(given)
        answers = [answer for part in self.answers(source, learner, support) for answer in part]
        if single and answers and answers[0].problem:
            raise DataError(answers[0].problem)
        return answers[0] if single and answers else answers

    def answers(
        self, source: Source, learner: Learner | None = None, support: Batch | None = None
    ) -> Iterator[list[Answer]]:
        """Answers to a source's rows, piece by piece, so that any number of rows can be answered. learner:
        the run's, searching in its own way; support: rows with answers, as `predict` takes them."""
        from mapsto.data.encode import encode_chunk, locate_cells
        from mapsto.prediction import Answer

        self._refuse_nothing()
        source = source.lines()
        signature, types = self._located(source), self.types
        for chunk in source.chunks(PIECE):
            encoded, problems = encode_chunk(chunk, self._inputs_only(signature), types)
            unread = {problem["row"]: f"{problem['column']}: {problem['why']}" for problem in problems}
            found = locate_cells(
                signature,
                self.signature.outputs,
                self.types,
                chunk,
                self._predictions(self._batches(signature, encoded, len(chunk), support), learner),
                unread,
            )
            yield [
                (
                    Answer(chunk.where[i], {}, unread[i])
                    if i in unread
                    else Answer(chunk.where[i], {slot: values[i] for slot, values in found.items()})
                )
                for i in range(len(chunk))
            ] + [Answer(bad.where, {}, bad.why) for bad in chunk.bad]

    def _batches(
        self, signature: Signature, encoded: Mapping, size: int, support: Batch | None = None
    ) -> Iterator[Batch]:
        step = self.learner.evaluation_batch
        for low in range(0, size, step):
            batch = self._batch(signature, encoded, low, min(size, low + step))
            yield batch if support is None else replace(batch, parts={"support": support})

    def _support(self, data: Any) -> Batch:
        """Rows with answers as one batch. DataError where one cannot be read."""
        _, source = self._source(data)
        unread: list[str] = []
        signature, found = self._located(source, targets=True), None
        for chunk in source.chunks(PIECE):
            encoded, kept = self._encoded(chunk, signature, unread)
            found = found or self._batch(signature, encoded, 0, kept)
        if unread or found is None or found.size < 1:
            why = unread[0] if unread else "there are no rows"
            raise DataError(f"{source.name}: cannot be answered by ({why}).\nGive whole rows, with answers.")
        return found

    def _predictions(self, batches: Iterator[Batch], learner: Learner | None) -> dict[str, list[Prediction]]:
        learner = learner or self.learner
        heads = dict(self.model.heads.items())  # type: ignore[union-attr, operator]
        parts: dict[str, list[Prediction]] = {}
        for batch in batches:
            found, unsure = self._arrays(learner, batch)
            for slot, arrays in found.items():
                known = self.calibration.get(slot, {})
                output = self.output(slot)
                made = output.predictions(heads[slot], output.calibrated(arrays, known), known)
                parts.setdefault(slot, []).extend(
                    replace(one, unsure=far) for one, far in zip(made, unsure, strict=True)
                )
        return parts

    def _arrays(
        self, learner: Learner, batch: Batch
    ) -> tuple[dict[str, dict[str, np.ndarray]], list[bool | None]]:
        """What the heads predict for a batch, and whether each row is far from the training rows; None where
        the run does not know."""
        if self.novelty is None or self._looking is None:
            return learner.arrays(batch), [None] * batch.size
        with self._looking.attached() as heard:
            arrays = learner.arrays(batch)
        return arrays, (self.novelty.distance(self._looking.score(batch, heard[0])) > 1).tolist()

    def _batch(self, signature: Signature, encoded: Mapping, low: int, high: int) -> Batch:
        from mapsto.data.store import collate, tensors

        raw = {spot: tensors(value[low:high]) for spot, value in encoded.items()}
        return collate(signature, self.types, raw, high - low, None, None, None)

    def evaluate(
        self, data: Any, emit: Callable[[Mapping[str, Any]], None] | None = None
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """{output: {metric: {"value", "low", "high", "n", "definition"}}} on rows with known answers.
        DataError when there are none; rows that cannot be read are left out, and `emit` hears of them."""
        from mapsto.measure.scores import score, scored

        _, source = self._source(data)
        signature = self._located(source, targets=True)
        unread: list[str] = []
        found = self._measured(source, signature, unread)
        if unread and emit:
            emit(
                {
                    "event": "note",
                    "text": f"{len(unread):,} rows cannot be read and are left out; the first: {unread[0]}",
                }
            )
        if not len(found):
            raise DataError(
                f"{source.name}: expected rows to evaluate on, found none that can be read.\nThe run learned:"
                f" {self.signature}"
            )
        scores = {}
        for slot in self.signature.outputs:
            metrics = self.metrics_of(slot.name)
            if not found.whole:
                scores[slot.name] = scored(metrics, found.statistics[slot.name], found.known[slot.name])
                continue
            sample = found.sample
            arrays = self._calibrated(slot.name, sample.predicted[slot.name])
            scores[slot.name] = score(metrics, arrays, sample.target[slot.name], sample.present[slot.name])
        return scores

    def metrics_of(self, slot: str) -> tuple[Metric, ...]:
        """What is said of an output, as the learner of the run knows it."""
        from mapsto.learners import metrics_of

        name, options = self.choice.learner, self.choice.learner_options
        choice = self.choice
        return metrics_of(name, self.signature, self.types, choice.training, options, choice.kinds)[slot]

    def _calibrated(self, slot: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.output(slot).calibrated(arrays, self.calibration.get(slot, {}))

    def _measured(self, source: Source, signature: Signature, unread: list[str]) -> Measured:
        """What the learner says of rows with answers. unread gets a line for each that cannot be read."""
        from mapsto.data.store import stored
        from mapsto.prediction import Keep

        keep = Keep(calibrated=self._calibrated)
        if not self.learner.packs:
            rows = NewRows(lambda: self._readable(source, signature, unread))
            return self.learner.measure("test", replace(keep, store=rows))
        store = stored(source, signature, self.types)
        store.device = self.learner.device
        unread += [f"{row['where']}: {' '.join(row['why'].split())}" for row in (*store.bad, *store.problems)]
        return self.learner.measure("test", replace(keep, store=store))

    def _readable(self, source: Source, signature: Signature, unread_rows: list[str]) -> Iterator[Batch]:
        for chunk in source.chunks(PIECE):
            taken, kept = self._encoded(chunk, signature, unread_rows)
            yield from self._batches(signature, taken, kept)

    def _encoded(
        self, chunk: Chunk, signature: Signature, unread_rows: list[str]
    ) -> tuple[dict[tuple[str, str], Any], int]:
        """The cells of the rows that can be read, and how many these are; a line for each of the others."""
        from mapsto.data.encode import encode_chunk

        encoded, problems = encode_chunk(chunk, signature, self.types)
        unread_rows += [f"{bad.where}: {bad.why}" for bad in chunk.bad]
        unread_rows += [
            f"{problem['where']}, {problem['column']!r}: {' '.join(problem['why'].split())}"
            for problem in problems
        ]
        unread = {problem["row"] for problem in problems}
        keep = [i for i in range(len(chunk)) if i not in unread]
        taken = {
            spot: [value[i] for i in keep] if isinstance(value, list) else value[keep]
            for spot, value in encoded.items()
        }
        return taken, len(keep)

    @torch.no_grad()
    def embed(self, data: Any) -> np.ndarray:
        """(n, D) float32: what the net knows of each row before its heads. Rows that cannot be read are
        nan."""
        from mapsto.data.encode import encode_chunk

        self._refuse_nothing()
        source = self._source(data)[1].lines()
        signature = self._inputs_only(self._located(source))
        parts, size = [], self.learner.evaluation_batch
        for chunk in source.chunks(PIECE):
            encoded, problems = encode_chunk(chunk, signature, self.types)
            batches = (
                self._batch(signature, encoded, low, min(len(chunk), low + size))
                for low in range(0, len(chunk), size)
            )
            embed: Any = self.model.embed
            found = [embed(self.learner.ready(batch).inputs).float().cpu().numpy() for batch in batches]
            parts.append(np.concatenate(found) if found else np.empty((0, 0), np.float32))
            parts[-1][[problem["row"] for problem in problems]] = np.nan
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def search(self, lm: str | Path | None = None, **how: Any) -> Run:
        """Search for answers so from now on: beam=10; of what is heard also lm, the folder of a run that
        learned `-> text`, lm_weight and bonus. ConfigError where answers are not searched for, or the
        language model writes in other tokens.
        """
        self.learner = self._searching(lm, how)
        return self

    def _searching(self, lm: str | Path | None, how: Mapping[str, Any]) -> Learner:
        """The learner, searching for answers as asked; language models are read once."""
        from mapsto.run import writing

        if lm is None:
            return self.learner.with_decoding(how)
        if lm not in self._languages:
            self._languages[lm] = writing.language(Run.open(lm))
        return self.learner.with_decoding(how, self._languages[lm])

    @cached_property
    def _languages(self) -> dict[str | Path, Any]:
        return {}

    @property
    def samples(self) -> bool:
        """Does it make things from nothing?"""
        from mapsto.learners.base import Learner

        return not self.signature.inputs and type(self.learner).sample is not Learner.sample

    def sample(self, n: int = 1, prompt: str = "", **how: Any) -> list[Any]:
        """What a run without inputs makes from nothing: n values, of several outputs {output: value} each.
        how: the options of its learner's `Sampling`; of one that learned `-> text`, whose texts begin with
        the prompt: tokens, temperature, top_p, seed, stop. RunError for other runs."""
        from mapsto.config import options_of
        from mapsto.run import writing

        if not self.samples:
            writing.refuse(self)
        asked = {**how, "prompt": prompt} if prompt else how
        options: Any = options_of(self.learner.Sampling, asked, "sample")
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(key(options.seed, "sample"))
            made = self.learner.sample(n, options)
        if len(made) == 1:
            return next(iter(made.values()))
        return [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]

    @property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """{output: what a prediction of it tells}, its value first."""
        return {slot.name: self.output(slot.name).fields for slot in self.signature.outputs}

    def reply(self, messages: Sequence[Mapping[str, str]], **how: Any) -> str:
        """The assistant's answer to a conversation, [{"role": "user", "content": …}, …], by a run that
        learned `messages -> text`. how: tokens, temperature, top_p, seed. RunError for other runs, CellError
        for what is no conversation."""
        from mapsto.config import options_of
        from mapsto.generation.sampling import Sampling
        from mapsto.run import writing
        from mapsto.types.text.conversation import in_order, messages_of

        pieces, _ = writing.replies(
            self, in_order(messages_of(messages) or ()), options_of(Sampling, how, "reply")
        )
        return "".join(pieces)

    def score(self, data: Any) -> Iterator[tuple[str, dict[str, Any] | CellError]]:
        """(name, figures or why it cannot be read) of each text, by a run that learned `-> text`:
        {"log_probability", "tokens", "nats_per_token", "bits_per_byte", "perplexity", "unknown"}. data: a
        list of texts, or what `predict` takes. RunError for other runs.
        """
        from mapsto.run import writing

        if isinstance(data, (list, tuple)) and all(
            isinstance(text, str) and not Path(text[:250]).exists() for text in data
        ):
            return writing.scores(self, data)
        _, source = self._source(data)
        return writing.scores(self, source, self._located(source, targets=True).outputs[0].column)

    def _source(self, data: Any) -> tuple[bool, Source]:
        """(was it one row, the rows as a source)."""
        from mapsto.data.rows import to_source

        return to_source(data, self.signature, self.types)

    def _located(self, source: Source, targets: bool = False) -> Signature:
        """The signature with this source's columns: of the same name, or the only one that can be meant."""

        def find(slot: Slot) -> Slot:
            for name in (slot.column, slot.name):
                if name in source.columns:
                    return replace(slot, column=name)
            side = self.signature.outputs if slot in self.signature.outputs else self.signature.inputs
            if slot.type in source.columns and sum(other.type == slot.type for other in side) == 1:
                return replace(slot, column=slot.type)
            if (
                len(source.columns) == 1 == len(self.signature.inputs) and not targets and source.locations
            ):  # a dict or frame names its cells
                return replace(slot, column=source.columns[0])
            found = ", ".join(source.columns[:8]) + ", …" * (len(source.columns) > 8)
            raise SignatureError(
                f"{source.name}: expected a column '{slot.column}', found {found}.\nThe run learned:"
                f" {self.signature}"
            )

        outputs = tuple(find(slot) for slot in self.signature.outputs) if targets else self.signature.outputs
        return Signature(tuple(find(slot) for slot in self.signature.inputs), outputs)

    def _refuse_nothing(self) -> None:
        if not self.signature.inputs:
            raise RunError(
                f"{self.path}: learned {self.signature}, so rows give it nothing to answer.\nLet it write:"
                f" mapsto sample {self.path}"
            )

    def _inputs_only(self, signature: Signature) -> Signature:
        return Signature(signature.inputs, ())

    # ---- show it ----

    def __repr__(self) -> str:
        return f"Run({self.path}: {self.record.get('signature_text', '')}, {self.status})"

    def _repr_html_(self) -> str:
        """A run shows itself in a notebook."""
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(slot)}</td><td>{escape(name)}</td><td>{_number(found['value'])}</td>"
            f"<td>{_number(found['low'])} – {_number(found['high'])}</td><td>{found['n']}</td></tr>"
            for slot, metrics in self.metrics.get("test", {}).items()
            for name, found in metrics.items()
        )
        head = "<tr><th>output</th><th>metric</th><th>test</th><th>95% interval</th><th>n</th></tr>"
        return (
            f"<b>{escape(str(self.path))}</b><br>{escape(self.record.get('signature_text', ''))}"
            f" ({escape(self.status)})<table>{head}{rows}</table>"
        )


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4g}"
