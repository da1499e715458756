"""The wider net: ResNet-9 (Page 2018) of 64 channels on CIFAR-10, SGD with Nesterov momentum."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="cifar_resnet9",
    says="ResNet-9 width 64, CIFAR-10 32×32×3",
    kind="pictures",
    data=("cifar10-train.parquet",),
    signature="image:image(augment=none) -> class:category(smoothing=0)",
    model="resnet9(width=64)",
    optimizer="sgd",
    lr=0.1,
    weight_decay=5e-4,
    batch=128,
)
