"""The plan of a training: the record's, or one measured now; and what it forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from mapsto.events import Emit
from mapsto.training.course import Course
from mapsto.training.plan import Plan, apply, forecast


def choose_plan(course: Course, recorded: Mapping[str, Any] | None) -> None:
    """Put a plan into effect, and say how weights lie; all processes take the first one's."""
    updater, group = course.updater, course.updater.group
    if group.size > 1:
        from mapsto.training import sharded

        updater.weights = sharded.weights(updater.learner, group, recorded)
    if recorded:
        updater.plan = Plan.of(recorded)
    else:
        found = replace(_measured(course), processes=group.size)
        updater.plan = Plan(**group.broadcast(asdict(found)))
        course.decisions.add(0, plan=asdict(updater.plan))
    apply(updater.plan, updater.learner)


def tell_forecast(course: Course, step: int, averaged: bool, emit: Emit) -> None:
    """What the rest will take, where anything is left to do."""
    passes = (course.schedule.total - step) * course.passes
    if passes <= 0:
        return
    plan, model = course.updater.plan, course.updater.learner.model
    emit({"event": "plan", "text": str(plan), **asdict(plan)})
    by_clock = course.fixed_total() is None
    emit({"event": "forecast", **forecast(plan, model, averaged, passes, course.clock.left, by_clock)})


def doubt_plan(course: Course) -> None:
    """A plan whose steps were much faster in truth is measured again by whoever comes next."""
    timer = course.updater.timer
    if timer.steps:
        from mapsto.training.probe import doubt

        doubt(course.updater.plan, sum(timer.seconds.values()) / timer.steps / course.passes)


def _measured(course: Course) -> Plan:
    updater = course.updater
    if updater.weights.shared:
        from mapsto.training.sharded import plan as find
    else:
        from mapsto.training.probe import measure as find
    return find(updater, course.fixed_total(), course.clock.left)
