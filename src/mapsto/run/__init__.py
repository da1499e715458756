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
    baseline-statistics.npz   of a fold: what every metric knows of these rows
    novelty.safetensors   by what rows far from the training rows are known
    quarantine.csv        rows that could not be read, and why
    stream.safetensors    of a run that learns on from a stream: all that it goes on from
    sections.json         what questions found; report.html and README.md are drawn from it

Nothing in it is pickled or executed; own files that it names are executed where a person names them again
(`mapsto.registry.trust`). Every file appears by rename, so it is whole or absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mapsto.batch import key
from mapsto.errors import DataError, RunError
from mapsto.run.folder import RunFolder

if TYPE_CHECKING:
    from mapsto.batch import Batch
    from mapsto.errors import CellError
    from mapsto.learners.base import Learner
    from mapsto.measure.ood import FeatureHook, Novelty
    from mapsto.metrics import Metric
    from mapsto.prediction import Answer, Wanted
    from mapsto.prediction.table import Answers
    from mapsto.source import Source


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

    reference: Learner | None = None  # by whose net strange rows are known, where another answers

    @cached_property
    def _looking(self) -> FeatureHook | None:
        from mapsto.measure.ood import FeatureHook

        model = (self.reference or self.learner).model
        return FeatureHook.at(model, self.signature, self.types) if self.novelty else None

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
        keep: Sequence[str] = (),
        probabilities: bool = False,
        missing_ok: bool = False,
    ) -> Answers | Answer:
        """Predictions for rows: a path, files, a PIL image or array, a dict (one row) or a list of any of
        these, a frame. given: rows with answers that these are to be answered by, where a way of learning
        asks for some (`batch.parts["support"]`). keep, probabilities, missing_ok: as `prediction.Wanted`. The
        other keywords say how answers are searched for, this once, as the command line does; `search` says it
        for good.

        One row in, one Answer out, or DataError when it cannot be read; many in, a list of them, where such
        rows have a `problem`; of a frame its `frame` is one again, with the same index.
        """
        from mapsto.prediction import Wanted
        from mapsto.prediction.table import Answers, Table
        from mapsto.run import answering

        asked = {"beam": beam, "penalty": penalty, "temperature": temperature, "lm_weight": lm_weight}
        how = {name: value for name, value in asked.items() if value is not None}
        learner = self._searching(lm, how) if how or lm is not None else None
        single, source = self._source(data)
        support = None if given is None else answering.support(self, given)
        wanted = Wanted(keep, probabilities, missing_ok)
        answers = [answer for part in self.answers(source, learner, support, wanted) for answer in part]
        if single and answers and answers[0].problem:
            raise DataError(answers[0].problem)
        if single and answers:
            return answers[0]
        classes = answering.classes_of(self) if probabilities else {}
        return Answers(
            answers, Table.of(self.fields, classes, answering.kept_columns(source.lines(), keep)), data
        )

    def answers(
        self,
        source: Source,
        learner: Learner | None = None,
        support: Batch | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[list[Answer]]:
        """Answers to a source's rows, piece by piece, so that any number of rows can be answered. learner:
        the run's, searching in its own way; support: rows with answers, as `predict` takes them."""
        from mapsto.run import answering

        return answering.answers(self, source, learner, support, wanted or answering.PLAIN)

    def evaluate(
        self, data: Any, emit: Callable[[Mapping[str, Any]], None] | None = None
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """{output: {metric: {"value", "low", "high", "n", "definition"}}} on rows with known answers.
        DataError when there are none; rows that cannot be read are left out, and `emit` hears of them."""
        from mapsto.run import answering

        return answering.evaluate(self, data, emit)

    def embed(self, data: Any) -> np.ndarray:
        """(n, D) float32: what the net knows of each row before its heads. Rows that cannot be read are
        nan."""
        from mapsto.run import answering

        return answering.embed(self, data)

    def metrics_of(self, slot: str) -> tuple[Metric, ...]:
        """What is said of an output, as the learner of the run knows it."""
        from mapsto.learners import metrics_of

        name, options = self.choice.learner, self.choice.learner_options
        choice = self.choice
        return metrics_of(name, self.signature, self.types, choice.training, options, choice.kinds)[slot]

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
        from mapsto.lite import writing

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
    def writer(self) -> Any:
        """Its net as what says what comes next (`mapsto.generation.sampling.Writer`)."""
        from mapsto.generation.cached import Cached

        return Cached(self.learner.model.eval(), self.learner.device)

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
        from mapsto.lite import writing
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
        from mapsto.lite.rows import located

        _, source = self._source(data)
        return writing.scores(self, source, located(self, source, targets=True).outputs[0].column)

    def _source(self, data: Any) -> tuple[bool, Source]:
        """(was it one row, the rows as a source)."""
        from mapsto.data.rows import to_source

        return to_source(data, self.signature, self.types)

    def refuse_nothing(self) -> None:
        """RunError: rows give it nothing to answer."""
        if not self.signature.inputs:
            raise RunError(
                f"{self.path}: learned {self.signature}, so rows give it nothing to answer.\nLet it write:"
                f" mapsto sample {self.path}"
            )

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
