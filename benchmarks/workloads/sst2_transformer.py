"""A transformer encoder of 2 layers, 128 wide, over words of SST-2's sentences."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="sst2_transformer",
    says="transformer 2 layers, 128 wide, SST-2",
    kind="texts",
    data=("sst2.jsonl.gz",),
    signature="text:text(grams=false, hide=0) -> label:category(smoothing=0)",
    model="transformer(summary=false, dropout=0.1)",
    batch=32,
)
