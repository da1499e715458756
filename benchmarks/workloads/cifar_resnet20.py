"""ResNet-20 (He et al. 2015, section 4.2; pre-activation) on CIFAR-10, SGD with Nesterov momentum."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="cifar_resnet20",
    says="ResNet-20, CIFAR-10 32×32×3",
    kind="pictures",
    data=("cifar10-train.parquet",),
    signature="image:image(augment=none) -> class:category(smoothing=0)",
    model="resnet(depth=20)",
    optimizer="sgd",
    lr=0.1,
    weight_decay=5e-4,
    batch=128,
)
