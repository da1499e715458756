"""What of the settings can be refused, or must be written out, before any data is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mapsto.config import Budget, Settings, options_of
from mapsto.errors import ConfigError
from mapsto.models import config, solved
from mapsto.registry import entry
from mapsto.signature import parse_call
from mapsto.training.budget import goal_of
from mapsto.training.machine import choose_device


def check_early(settings: Settings) -> None:
    """What can be refused before any data is read."""
    goal_of(settings.budget.until)
    cores = os.cpu_count() or 1
    if (settings.training.threads or 0) > cores:
        raise ConfigError(
            f"--threads: expected at most the {cores} cores of this machine, got"
            f" {settings.training.threads}.\nMore wait for them."
        )
    if str(settings.lora).strip() in ("0", "-1"):
        raise ConfigError(
            f"--lora: expected a rank of 1 or more, got {settings.lora}.\nLeave it out to train all weights."
        )
    if settings.lora is not None and not settings.public:
        raise ConfigError(
            "--lora trains adapters of a public model, and none is named.\nName one: --from hub:ID, or"
            " hub:./FOLDER."
        )
    if settings.public:
        config("hub", settings.public)
        if settings.model and (name := parse_call(settings.model, "model")[0]) != "hub":
            raise ConfigError(
                f"--from {settings.start}: the public model is the model, asked for is '{name}'.\nKeep one of"
                " --from and --model."
            )
    if settings.start and not settings.public and settings.reading.folds:
        raise ConfigError(
            "--from and --folds: the run that it starts from has perhaps seen the rows of every fold.\nKeep"
            " one of them."
        )
    if settings.fit_into is not None:
        _refuse_fitting(settings, settings.fit_into)
    _refuse_budget(settings)
    choose_device(settings.training.device)
    for column_type, asked in (("models", settings.model), ("learners", settings.learner)):
        if asked is not None:
            name, options = parse_call(asked, column_type.rstrip("s"))
            if column_type == "models":
                config(name, options)
            else:
                options_of(entry(column_type, name).Config, options, f"learner '{name}'")


def _refuse_budget(settings: Settings) -> None:
    """Of a model whose weights are solved (`mapsto.steps.solve`)."""
    name, options = parse_call(settings.model, "model") if settings.model else ("", {})
    if name and solved(name, {**options, **settings.public}) and settings.budget != Budget():
        raise ConfigError(
            f"model '{settings.model}' is solved at once: a budget would change nothing.\nLeave --minutes,"
            " --steps and --epochs out, or take a model that learns by steps, as linear."
        )


def _refuse_fitting(settings: Settings, text: str) -> None:
    """What is no limit, and what hinders a net from being made smaller."""
    from mapsto.training.limit import limit_of

    limit_of(text)
    for flag, asked in (("--from", settings.start), ("--folds", settings.reading.folds)):
        if asked:
            why = "its net has a size already" if flag == "--from" else "every fold would get another net"
            raise ConfigError(f"--fit-into and {flag}: {why}.\nKeep one of them.")


def absolute(settings: Settings) -> Settings:
    """Paths that the record must still find from another folder: of a model or learner in a file, of the test
    rows, of the files that cells name, of a run to start from."""

    def whole(text: str | None) -> str | None:
        name, mark, options = (text or "").partition("(")
        return f"{Path(name).resolve()}{mark}{options}" if name.strip().endswith(".py") else text

    start = settings.start
    if settings.public:
        start = (
            f"hub:{Path(settings.public['source']).absolute()}"
            if Path(settings.public["source"]).is_dir()
            else start
        )
    elif start:
        start = str(Path(start).absolute())
    test, root = (
        str(Path(place).absolute()) if place and Path(place).exists() else place
        for place in (settings.reading.test, settings.reading.root)
    )
    reading = replace(settings.reading, test=test, root=root)
    return replace(
        settings, model=whole(settings.model), learner=whole(settings.learner), reading=reading, start=start
    )


def trusted(settings: Settings, files: Iterable[str | Path] = ()) -> dict[str, str]:
    """{path: sha256} of the own files that a training is to use, trusted from now on, as `files` are."""
    if not files and ".py" not in f"{settings.model} {settings.learner}":
        return {}
    from mapsto.registry.trust import trust_all, trust_asked

    trust_all(files)
    return trust_asked(settings.model, settings.learner)
