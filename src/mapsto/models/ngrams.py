"""Bag of n-grams: a text is the weighted sum of the vectors of its runs of letters and words, and a line
divides the sums.

fastText (Joulin et al. 2017), with tf · idf weights and runs of letters (Bojanowski et al. 2017). Any other
cells may stand beside texts. In minutes on any machine, and hard to beat below some ten thousand texts: sst2
.82, trec .90.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mapsto.config import setting
from mapsto.models.base import Heads, Net, Stems, Types
from mapsto.models.linear import Flat, feature_shapes, needs_input
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    width: int = setting(16, "width of an n-gram's vector", above=0, narrows=2)


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    return {slot.name: {"fixed": True} for slot in signature.inputs}


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    needs_input(signature, "ngrams")
    stems = Stems(signature, types, config.width)
    width = sum(
        math.prod(side or 1 for side in shape)
        for shape in feature_shapes(stems, signature, types, "ngrams").values()
    )
    return Net(stems, Flat(), Heads(signature, types, kinds, width, "pooled"))
