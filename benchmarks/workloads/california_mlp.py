"""A plain MLP on California housing, from its numbers to the price."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="california_mlp",
    says="MLP 3 × 256, California housing",
    kind="cells",
    data=("tabular.zip!california-housing.csv",),
    signature="* -> median_house_value:number",
    model="mlp(width=256, depth=3, members=1, embedding=8, dropout=0.1)",
    lr=2e-3,
    weight_decay=0.03,
    batch=256,
    loss="mse",
)
