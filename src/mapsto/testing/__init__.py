"""The contracts as checks, for authors of packages: what mapsto's own tests ask of every file of a folder.

    from mapsto.testing import check_output, check_type

    def test_my_type() -> None: check_type(Colour, ["#ff8800", "#000000", None])
    check_output(check_type(Colour, ["#ff8800", "#000000", None], side="output").output(), ["#ff8800", None])

    def test_my_reader(tmp_path) -> None: check_reader("records", tmp_path / "some.records")
    def test_my_learner(tmp_path) -> None: check_learner(lambda: mine(Tiny()), tmp_path)

A broken contract is an AssertionError that says which.
"""

from __future__ import annotations

from mapsto.testing._outputs import check_output
from mapsto.testing._types import check_type
from mapsto.testing.learners import check_learner
from mapsto.testing.readers import check_reader

__all__ = ["check_learner", "check_output", "check_reader", "check_type"]
