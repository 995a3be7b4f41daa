"""Compares the backward of a from-scratch layer with autograd on the same forward."""

from __future__ import annotations

import torch
from torch import Tensor

from hw2core.layers import Layer


def compare_layer_to_torch(
    layer: Layer, x: Tensor, y: Tensor | None = None, seed: int = 42
) -> list[float]:
    """Compare the gradients of ``layer.backward`` with those of autograd.

    Both passes start from ``seed``, so they draw the same dropout mask, and both get the same dout,
    drawn from N(0, 1): with dout = 1, errors that cancel in a sum would go unnoticed.
    The layer's parameters and gradients and torch's generators are restored.

    Args:
        layer: layer to check, in its current mode.
        x: input; in float32, rounding errors dominate the norms, so use float64.
        y: labels, for a layer that is, or ends in, a loss.
        seed: seed of both passes.

    Returns:
        Norms ‖by hand - autograd‖₂: of the gradient of x first, then of each parameter, in order.

    Raises:
        ValueError: a gradient by hand has the wrong shape.
    """
    kw = {} if y is None else {"y": y}
    params = [p for p, _ in layer.params()]
    grads = [dp for _, dp in layer.params()]
    saved_grads = [dp.clone() for dp in grads]
    required = [p.requires_grad for p in params]
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        try:
            leaves = [x.detach().requires_grad_(), *(p.requires_grad_() for p in params)]
            torch.manual_seed(seed)
            out = layer(leaves[0], **kw)
            dout = torch.randn_like(out, requires_grad=False)
            # A scalar, because with dout torch would import its symbolic shapes to compare sizes.
            by_torch = torch.autograd.grad(
                (out * dout).sum(), leaves, allow_unused=True, materialize_grads=True
            )
        finally:
            for p, requires_grad in zip(params, required, strict=True):
                p.requires_grad_(requires_grad)
        # By hand last, so that the layer's caches keep no autograd graph alive.
        with torch.no_grad():
            torch.manual_seed(seed)
            layer(x, **kw)
            for dp in grads:
                dp.zero_()
            by_hand = [layer.backward(dout), *(dp.clone() for dp in grads)]
            for dp, saved in zip(grads, saved_grads, strict=True):
                dp.copy_(saved)
    for hand, auto in zip(by_hand, by_torch, strict=True):
        if hand.shape != auto.shape:
            raise ValueError(f"gradient by hand {tuple(hand.shape)}: must be {tuple(auto.shape)}")
    return [
        torch.linalg.vector_norm(hand - auto).item()
        for hand, auto in zip(by_hand, by_torch, strict=True)
    ]
