"""PyTorch's "Training a classifier"
(https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html): its net, SGD .001 with momentum .9,
batch 4, 2 epochs. The pictures are decoded beforehand, as torchvision's data set has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.curve import Curve
from benchmarks.tutorials.read import cifar


class Net(nn.Module):
    """(B, 3, 32, 32) -> (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = torch.flatten(self.pool(F.relu(self.conv2(x))), 1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def run(files: dict[str, str], curve: Curve, quick: bool) -> None:
    parts = [cifar(files[part], 512 if quick else None) for part in ("train", "test")]
    (x, y), (x_test, y_test) = [
        ((torch.from_numpy(a).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5, torch.from_numpy(b))
        for a, b in parts
    ]
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True)
    net, criterion = Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    running = 0.0
    for _ in range(2):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
        with torch.no_grad():
            curve.measure(lambda: float((net(x_test).argmax(1) == y_test).float().mean()))
