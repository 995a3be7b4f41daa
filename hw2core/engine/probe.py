"""Measures the layers of a network on a batch: gradients, scale of the outputs, dead units."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import parametrize

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU)


class LayerProbe(NamedTuple):
    """One value per layer, in the order of the forward pass.

    Attributes:
        names: "conv1", "conv2", ... , "fc1", ...; 1x1 convolutions are "proj1", ...
        gradient_norm: root mean square of the entries of the weight's gradient, also of a weight
            that is frozen; 0 where the loss does not depend on the layer.
        activation_std: standard deviation of the output, after the activation if one follows.
        dead_fraction: share of the channels (convolution) or units (linear) whose ReLU gives 0 on
            the whole batch; None where no ReLU follows.
    """

    names: list[str]
    gradient_norm: list[float]
    activation_std: list[float]
    dead_fraction: list[float | None]


def probe_layers(model: nn.Module, x: Tensor, y: Tensor) -> LayerProbe:
    """Run images x (N, C, H, W) with labels y (N,) forward and backward, in single precision.

    Batch norm normalises by the batch, as in training; dropout drops nothing. No gradients or
    running statistics change and no random number is drawn; the model is left in training mode.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    seen = _SeenLayers()
    watched = (nn.Conv2d, nn.Linear, *ACTIVATIONS)
    handles = [
        module.register_forward_hook(seen.note)
        for module in model.modules()
        if isinstance(module, watched)
    ]
    try:
        # Batch norm updates the running statistics of these copies.
        tensors = {name: buffer.clone() for name, buffer in model.named_buffers()}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad and parameter.is_floating_point():
                tensors[name] = parameter.detach().requires_grad_()  # frozen, with a gradient here
        with parametrize.cached():  # the weights that a hook sees are those of the forward pass
            loss = F.cross_entropy(functional_call(model, tensors, (x,)), y)
        used = [weight for weight in seen.weights if weight.requires_grad]
        found = iter(torch.autograd.grad(loss, used, materialize_grads=True) if used else ())
        gradients = [next(found) if x.requires_grad else torch.zeros_like(x) for x in seen.weights]
    finally:
        for handle in handles:
            handle.remove()
    norms = [gradient.norm() / math.sqrt(gradient.numel()) for gradient in gradients]
    return LayerProbe(
        _name_layers(seen.layers),
        _read(norms),
        _read(seen.stds),
        [None if dead is None else _read([dead])[0] for dead in seen.dead],
    )


class _SeenLayers:
    """Statistics of the layers with weights, in the order of the forward pass."""

    def __init__(self) -> None:
        self.layers: list[nn.Conv2d | nn.Linear] = []
        self.weights: list[Tensor] = []
        self.stds: list[Tensor] = []
        self.dead: list[Tensor | None] = []
        self.waiting = False  # for the activation of the last layer

    def note(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Record a module's output, as its forward hook."""
        output = output.detach()
        if isinstance(module, nn.Conv2d | nn.Linear):
            self.layers.append(module)
            self.weights.append(module.weight)
            self.stds.append(output.std())
            self.dead.append(None)
            self.waiting = True
        elif self.waiting:
            self.stds[-1] = output.std()
            if isinstance(module, nn.ReLU):
                by_unit = output.transpose(0, 1).flatten(1)  # (C, N*H*W) or (D, N)
                self.dead[-1] = (by_unit == 0).all(dim=1).float().mean()
            self.waiting = False


def _name_layers(layers: list[nn.Conv2d | nn.Linear]) -> list[str]:
    counts: Counter[str] = Counter()
    names = []
    for layer in layers:
        kind = "fc"
        if isinstance(layer, nn.Conv2d):
            kind = "proj" if layer.kernel_size == (1, 1) else "conv"
        counts[kind] += 1
        names.append(f"{kind}{counts[kind]}")
    return names


def _read(values: list[Any]) -> list[float]:
    """Return scalar tensors as numbers with four digits, reading from the device once."""
    return [float(f"{value:.4g}") for value in torch.stack(values).tolist()] if values else []
