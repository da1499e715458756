"""An environment from the front door: no rows, a learner in a file of its own, a run as ever."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import mapsto
from mapsto.errors import ConfigError, SignatureError

pytestmark = pytest.mark.usefixtures("one_thread")
LEARNER = str(Path(__file__).with_name("corridor.py"))


@dataclass
class Choices:
    """One of n, as gymnasium's Discrete."""

    n: int


class World:
    """Nine cells in a row; it begins in the middle, and each move that ends in the last cell pays 1."""

    observation_space, action_space = Choices(9), Choices(2)

    def reset(self, *, seed=None):
        self.cell = 4
        return self.cell, {}

    def step(self, action):
        self.cell = min(8, max(0, self.cell + 2 * action - 1))
        return self.cell, float(self.cell == 8), False, False, {}


def trained(world: object, out: Path, **options: object) -> mapsto.Run:
    wishes = {"learner": LEARNER, "model": "linear", "optimizer": "adamw", "lr": 0.1, "steps": 40, "threads": 1, **options}
    return mapsto.train(world, "observation -> action", out=out, emit=lambda event: None, **wishes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mapsto.Run:
    return trained(World, tmp_path_factory.mktemp("runs"))


def test_it_learns_to_walk_and_says_what_it_is_paid(run: mapsto.Run) -> None:
    assert run.status == "done"
    assert run.metrics["test"]["action"]["return"]["value"] > 6         # 9 is the most; at random it is about 1


def test_it_answers_with_an_action(run: mapsto.Run) -> None:
    answer = mapsto.load(run.path, trust=[LEARNER]).predict({"observation": 4})
    assert answer.predictions["action"].value == 1                      # to the right


def test_it_is_reported(run: mapsto.Run) -> None:
    page = (run.path / "report.html").read_text()
    assert "World" in page or "world" in page


def test_the_same_seed_walks_the_same_way(run: mapsto.Run, tmp_path: Path) -> None:
    again = trained(World(), tmp_path)                                  # an instance does as well as its class
    assert mapsto.api.same_weights(run.path, again.path)


def test_what_only_rows_could_honour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--group is about rows"):
        trained(World, tmp_path, group="observation")


def test_a_space_that_no_type_holds_is_named(tmp_path: Path) -> None:
    class Unknown(World):
        observation_space = "a smell"

    with pytest.raises(SignatureError, match="no type holds a smell"):
        trained(Unknown, tmp_path)
