"""A transformer encoder of 2 layers, 128 wide, over the long texts of IMDb's reviews."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="imdb_transformer",
    says="transformer 2 layers, 128 wide, IMDb (long texts)",
    kind="texts",
    data=("imdb-9k.jsonl.gz",),
    signature="text:text(grams=false, hide=0) -> label:category(smoothing=0)",
    model="transformer(summary=false, dropout=0.1)",
    batch=32,
)
