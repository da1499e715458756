"""The ensemble of MLPs that mapsto's tables recipe takes, on Adult."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="adult_mlp",
    says="MLP, 16 members, Adult",
    kind="cells",
    data=("tabular.zip!adult-train.csv",),
    signature="* -> income:category(smoothing=0)",
    model="mlp(width=384, depth=2, members=16, embedding=8, dropout=0.15, adapter=output)",
    lr=2e-3,
    weight_decay=0.03,
    batch=256,
)
