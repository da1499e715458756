"""ResNet-20 (He et al. 2015, section 4.2; pre-activation) on Fashion-MNIST, SGD with Nesterov momentum."""

from benchmarks.workload import Workload

WORKLOAD = Workload(
    name="fashion_resnet",
    says="ResNet-20, Fashion-MNIST 28×28×1",
    kind="pictures",
    data=("fashion-mnist.zip",),
    signature="image:image(augment=none) -> label:category(smoothing=0)",
    model="resnet(depth=20)",
    optimizer="sgd",
    lr=0.05,
    weight_decay=5e-4,
    batch=128,
    peers=("plain", "tuned", "ours", "lightning", "huggingface", "skorch", "keras_jax", "keras_torch"),
    bars={
        "tuned": 0.95,
        "plain": 2,
        "lightning": 2,
        "huggingface": 2,
        "skorch": 2,
        "keras_jax": 2,
        "keras_torch": 2,
    },
)
