"""The plain way that the study's is measured against: torchvision, a DataLoader, fp32, eager."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from hw2core.data.prepared import PreparedData
from hw2core.spec import RunSpec


class ArrayCIFAR10(CIFAR10):
    """torchvision's CIFAR10 over arrays; ``__getitem__`` and ``__len__`` are its own."""

    def __init__(self, data: PreparedData, num_images: int, transform: Any) -> None:
        self.data = data.train_images[:num_images]
        self.targets = data.train_labels[:num_images].tolist()
        self.transform, self.target_transform = transform, None


def make_plain_loader(
    data: PreparedData,
    num_images: int,
    *,
    batch_size: int,
    workers: int = 0,
    flip: bool = False,
    translate: int = 0,
    drop_last: bool = False,
) -> DataLoader[Any]:
    """Return a DataLoader over the first images, shuffled, normalised and augmented one by one."""
    steps: list[Any] = []
    if translate:
        steps.append(transforms.RandomCrop(32, padding=translate))
    if flip:
        steps.append(transforms.RandomHorizontalFlip())
    steps += [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    return DataLoader(
        ArrayCIFAR10(data, num_images, transforms.Compose(steps)),
        batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=drop_last,
        persistent_workers=workers > 0,  # starting them is not part of an epoch
    )


def build_network(spec: RunSpec) -> nn.Module:
    """Return the network of a run, as its constructor makes it."""
    module, name = spec.implementation.split(":")
    network: nn.Module = getattr(importlib.import_module(module), name)(
        **spec.architecture.build_arguments()
    )
    return network


class PlainTraining:
    """A training epoch as the course writes it: every step waits for its loss and its hits."""

    def __init__(self, spec: RunSpec, loader: DataLoader[Any], device: torch.device) -> None:
        self.network = build_network(spec).to(device)
        self.loader, self.device = loader, device
        self.loss_fn = nn.CrossEntropyLoss(label_smoothing=spec.training.label_smoothing)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=spec.training.lr / 10,  # constant: the peak of a schedule would diverge
            momentum=spec.training.momentum,
            nesterov=spec.training.nesterov,
            weight_decay=spec.training.weight_decay,
        )

    def train_epoch(self) -> tuple[float, float]:
        """Train on every batch once; return the sum of the losses and the accuracy in percent."""
        self.network.train()
        loss_sum, num_correct, num_seen = 0.0, 0, 0
        for images, classes in self.loader:
            x, y = images.to(self.device), classes.to(self.device)
            self.optimizer.zero_grad()
            scores = self.network(x)  # (N, classes)
            loss = self.loss_fn(scores, y)
            loss.backward()
            self.optimizer.step()
            loss_sum += loss.item()
            num_correct += int((scores.argmax(dim=1) == y).sum().item())
            num_seen += len(y)
        return loss_sum, 100.0 * num_correct / num_seen
