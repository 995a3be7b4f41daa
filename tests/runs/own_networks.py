"""Networks that somebody could add: some keep all that training changes, some do not."""

from __future__ import annotations

import functools
import itertools
import random

import numpy as np
import torch
from torch import nn

from hw2core.config.study import CHECKOUT


class Squeezed(nn.Module):
    """Loses the axis of a batch that has one image."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(6, out_classes)

    def forward(self, x):
        return self.head(torch.cat([self.pool(x).squeeze()] * 2, dim=1))


class Scaled(nn.Module):
    """Has no convolution and no product of matrices."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(out_classes, 3))

    def forward(self, x):
        return (x.mean((2, 3)).unsqueeze(1) * self.scale).sum(2)


class Complex(nn.Module):
    """Has a buffer of a type that safetensors does not know."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.head = nn.Linear(3, out_classes)
        self.register_buffer("phase", torch.zeros(1, dtype=torch.complex128))

    def forward(self, x):
        return self.head(x.mean((2, 3)))


class Norm(nn.Module):
    """Keeps a running mean and a count: assigned, or changed in place."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.head = nn.Linear(3, out_classes)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("count", torch.tensor(0))
        self.steps = 0
        self.state = {"steps": 0}
        self.old = torch.zeros(3)
        self.generator = np.random.default_rng(0)

    def forward(self, x):
        means = x.mean((2, 3))
        if self.training:
            self.keep(means.detach().mean(0))
        return self.head(means - self.mean)

    def keep(self, mean):
        self.mean.lerp_(mean, 0.1)


class Drawing(Norm):
    def forward(self, x):
        drawn = random.random() + np.random.rand() + torch.rand(()) if self.training else 0
        return super().forward(x + drawn)


class Assigned(Norm):
    def keep(self, mean):
        self.mean = self.mean.lerp(mean, 0.1)


class AssignedInEvaluation(Norm):
    def train(self, mode=True):
        if not mode:
            self.mean = self.mean + 1
        return super().train(mode)


class Normalized(Norm):
    def keep(self, _):
        self.head.weight.data = nn.functional.normalize(self.head.weight.data)


class Counting(Norm):
    def keep(self, _):
        self.steps += 1


class CountingInClass(Norm):
    seen = 0

    def keep(self, _):
        self.seen += 1


class CountingInPlace(Norm):
    def keep(self, _):
        self.count += 1


class CountingInDictionary(Norm):
    def forward(self, x):
        self.state["steps"] += self.training
        return super().forward(x) * self.state["steps"]


class Plain(Norm):
    """Keeps its running mean in a tensor that is no buffer."""

    def forward(self, x):
        means = x.mean((2, 3))
        if self.training:
            self.old = self.old.lerp(means.detach().mean(0), 0.1)
            return self.head(means - means.mean(0))
        return self.head(means - self.old)


class DrawingItsOwn(Norm):
    def forward(self, x):
        return super().forward(x + self.generator.normal() if self.training else x)


class Stochastic(nn.Module):
    """Leaves out a layer at random."""

    def __init__(self, out_classes, **_):
        super().__init__()
        self.first, self.head = nn.Linear(3, 3), nn.Linear(3, out_classes)

    def forward(self, x):
        x = x.mean((2, 3))
        leaves_out = self.training and torch.rand(()).item() < 0.5
        return self.head(x if leaves_out else self.first(x))


class Shared(Norm):
    """Uses one layer twice, and notes the size of its input."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.twice = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        self.again = self.twice[0]
        self.height = 0

    def forward(self, x):
        self.height = x.shape[2]
        return self.head(self.again(self.twice(x.mean((2, 3)))))


class Ghost(Norm):
    """Normalises parts of eight images."""

    def forward(self, x):
        means = x.mean((2, 3))
        if not self.training:
            return self.head(means - self.mean)
        parts = means.reshape(-1, 8, 3)
        self.keep(means.detach().mean(0))
        return self.head((parts - parts.mean(-2, keepdim=True)).reshape(means.shape))


class Closure(Norm):
    """Holds a reference to itself, which a copy of it keeps."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.classify = lambda means: self.head(means)

    def forward(self, x):
        return self.classify(x.mean((2, 3)))


class Hooked(Norm):
    """Collects features by a hook."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        features = self.features = {}
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.pool.register_forward_hook(
            lambda _, inputs, out: features.update(means=out.flatten(1))
        )

    def forward(self, x):
        self.pool(x)
        return self.head(self.features["means"])


class Seeding(Norm):
    def __init__(self, out_classes, **_):
        torch.manual_seed(42)
        super().__init__(out_classes)


class SeedingInStep(Norm):
    def keep(self, _):
        np.random.seed(0)


class Thousand(Norm):
    """Has the classes of ImageNet."""

    def __init__(self, out_classes, **_):
        super().__init__(1000)


class Few(Norm):
    def __init__(self, out_classes, **_):
        super().__init__(4)


class Listed(Norm):
    """Keeps its layers in a list, which torch does not look into."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.norms = [nn.GroupNorm(1, 3)]
        self.known = [self.head]

    def forward(self, x):
        return super().forward(self.norms[0](x))


class Recurrent(Norm):
    """Reads an image row by row."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.rows = nn.LSTM(96, 8, batch_first=True)
        self.out = nn.Linear(8, out_classes)

    def forward(self, x):
        return super().forward(x) + self.out(self.rows(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])


class RecurrentCell(Recurrent):
    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.rows = nn.LSTMCell(96, 8)

    def forward(self, x):
        state = None
        for row in x.permute(2, 0, 1, 3).flatten(2):
            state = self.rows(row, state)
        return Norm.forward(self, x) + self.out(state[0])


class Cached(Norm):
    """Keeps in evaluation what it computed from its weights, for ever."""

    fused = None

    def forward(self, x):
        if self.training:
            return super().forward(x)
        if self.fused is None:
            self.fused = 2 * self.head.weight.detach()
        return x.mean((2, 3)) @ self.fused.T


PERMUTATION = torch.randperm(32)
FIXED = torch.randperm(32, generator=torch.Generator().manual_seed(0))


class Permuted(Norm):
    def forward(self, x):
        return super().forward(x[..., PERMUTATION] * torch.arange(32))


class PermutedAlike(Norm):
    def forward(self, x):
        return super().forward(x[..., FIXED] * torch.arange(32))


@functools.cache
def draw_projection():
    return np.random.default_rng().normal(size=(3, 3)).astype("float32")


class Projected(Norm):
    def forward(self, x):
        means = x.mean((2, 3)) @ torch.from_numpy(draw_projection())
        return self.head(means)


class SharedByClass(Norm):
    """Has its running mean in the class, which each process has its own of."""

    running = torch.zeros(3)

    def keep(self, mean):
        self.running.lerp_(mean, 0.5)

    def forward(self, x):
        return super().forward(x) - (0 if self.training else self.running.sum())


class Attending(Norm):
    """Attends over the images of the batch, as torch does by default."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.embed = nn.Conv2d(3, 16, 4, 4)
        layer = nn.TransformerEncoderLayer(16, 2, 32)
        self.encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        self.out = nn.Linear(16, out_classes)

    def forward(self, x):
        return self.out(self.encoder(self.embed(x).flatten(2).transpose(1, 2)).mean(1))


class Placed(Norm):
    """Adds something by the place of an image in its batch."""

    def forward(self, x):
        places = torch.arange(len(x), device=x.device).view(-1, 1, 1, 1)
        return super().forward(x + places)


class Encoded(Attending):
    """Encodes the place in the batch, as a tutorial does that has tokens first."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 6)
        self.register_buffer("places", torch.randn(500, 1, 16))

    def forward(self, x):
        tokens = 4 * self.embed(x).flatten(2).transpose(1, 2)
        return self.out(self.encoder(tokens + self.places[: len(x)]).mean(1))


class Gated(Attending):
    """Begins with attention switched off."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return self.out((tokens + self.gate * self.encoder(tokens)).mean(1))


class FilledByImages(Norm):
    """Subtracts the mean of the first training images; before, that of any."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.register_buffer("first", torch.zeros(3))
        self.register_buffer("filled", torch.zeros(()))

    def keep(self, mean):
        self.first.lerp_(mean, (1 - self.filled).item())
        self.filled.fill_(1)

    def forward(self, x):
        shift = torch.where(self.filled > 0, self.first, x.mean((0, 2, 3)))
        return super().forward(x - shift.view(-1, 1, 1))


class Experts(Norm):
    """Sends each image to one of two networks."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.experts = nn.ModuleList(nn.Linear(3072, 256) for _ in range(2))
        self.out = nn.Linear(256, out_classes)

    def forward(self, x):
        chosen = x.flatten(1).sum(1) > 0
        features = x.new_zeros(len(x), 256)
        for index, expert in enumerate(self.experts):
            rows = (chosen == index).nonzero().flatten()
            features = features.index_add(0, rows, expert(x.flatten(1)[rows]))
        return self.out(features) + super().forward(x)


class Reading(Norm):
    """Reads a file of the package whose name it computes."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        sizes = len(max((CHECKOUT / "hw2core/analysis/explore").glob("*.css")).read_text())
        self.register_buffer("sizes", torch.tensor(float(sizes)))


class Divided(Norm):
    def forward(self, x):
        return super().forward(x) / len(x)


class Spread(Norm):
    def forward(self, x):
        return super().forward((x - x.min()) / (x.max() - x.min()))


class CountingEpochs(Norm):
    epochs = 0

    def train(self, mode=True):
        self.epochs += mode
        return super().train(mode)


class Frozen(Norm):
    """Has a running mean that is a parameter."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.running = nn.Parameter(torch.zeros(3), requires_grad=False)

    @torch.no_grad()
    def keep(self, mean):
        self.running.lerp_(mean, 0.1)


class TakingTurns(Norm):
    """Scales images by three factors in turn."""

    def __init__(self, out_classes, **_):
        super().__init__(out_classes)
        self.scales = itertools.cycle([0.5, 1.0, 2.0])

    def forward(self, x):
        return super().forward(x * next(self.scales) if self.training else x)


class InPlace(Norm):
    def forward(self, x):
        x += 0.1 * torch.randn_like(x) * self.training
        return super().forward(x)


class BatchStatistics(Norm):
    def forward(self, x):
        means = x.std((2, 3))
        return self.head(means / means.mean(0))


class Watched(Norm):
    """Keeps what it computed, for plots."""

    def forward(self, x):
        self.logits = super().forward(x)
        return self.logits
