"""Trains with a plain loop for comparison: torchvision, a DataLoader, fp32, eager."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import load_images
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from hw2core.config.spec import RunSpec
from hw2core.data.augment import Augmentation
from hw2core.data.prepared import PreparedData
from hw2core.runs.environment import LARGE_PAGES, count_allotted_threads


class ArrayCIFAR10(CIFAR10):  # type: ignore[misc]
    """torchvision's CIFAR10 with arrays instead of files."""

    def __init__(self, data: PreparedData, num_images: int, transform: Any) -> None:
        self.data = data.train_images[:num_images]
        self.targets = data.train_labels[:num_images].tolist()
        self.transform, self.target_transform = transform, None


def make_plain_loader(
    data: PreparedData,
    num_images: int,
    *,
    batch_size: int,
    workers: int,
    augment: Augmentation,
) -> DataLoader[Any]:
    """Return a DataLoader over the first images, shuffled, normalised and augmented one by one.

    Like the study's loader, it drops an incomplete last batch. Cutout is not applied, as
    torchvision has no equivalent.
    """
    steps: list[Any] = []
    if augment.translate:
        steps.append(transforms.RandomCrop(32, padding=augment.translate))
    if augment.flip:
        steps.append(transforms.RandomHorizontalFlip())
    steps += [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
    return DataLoader(
        ArrayCIFAR10(data, num_images, transforms.Compose(steps)),
        batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,  # so that an epoch does not include starting them
    )


def build_network(spec: RunSpec) -> nn.Module:
    """Return the network of a run, newly built and not compiled."""
    module, name = spec.implementation.split(":")
    network: nn.Module = getattr(importlib.import_module(module), name)(
        **spec.architecture.build_arguments()
    )
    return network


class PlainTraining:
    """Train like the course's code: every step waits for its loss and accuracy."""

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
            logits = self.network(x)  # (N, classes)
            loss = self.loss_fn(logits, y)
            loss.backward()
            self.optimizer.step()
            loss_sum += loss.item()
            num_correct += int((logits.argmax(dim=1) == y).sum().item())
            num_seen += len(y)
        return loss_sum, 100.0 * num_correct / num_seen


class PlainJob(NamedTuple):
    """A run to train with the plain loop, its images and the device."""

    spec: RunSpec
    data_root: Path | None
    num_images: int
    workers: int
    device: str


@contextmanager
def start_plain_process(job: PlainJob) -> Iterator[Callable[[], object]]:
    """Yield a function that trains an epoch in a separate process and waits for it.

    The process keeps torch's defaults: settings that the study makes for its own processes, such as
    large memory pages, do not apply.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_epochs, args=(job, theirs))
    process.start()
    theirs.close()

    def train_epoch() -> object:
        ours.send("train")
        return ours.recv()

    with ours:
        yield train_epoch
    process.join()


def _serve_epochs(job: PlainJob, calls: Connection) -> None:
    """Train an epoch for each message until the other end of the pipe is closed."""
    os.environ.pop(LARGE_PAGES, None)
    torch.set_num_threads(count_allotted_threads())
    training = job.spec.training
    loader = make_plain_loader(
        load_images(job.data_root, job.num_images),
        job.num_images,
        batch_size=training.batch_size,
        workers=job.workers,
        augment=Augmentation(training.flip, training.translate),
    )
    plain = PlainTraining(job.spec, loader, torch.device(job.device))
    while True:
        try:
            calls.recv()
        except EOFError:
            return
        calls.send(plain.train_epoch())
