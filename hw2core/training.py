"""The course's trainers: one by autograd, one by the layers' own backward."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

# The course imports the base class from here.
from hw2core.fit_loop import Trainer as Trainer


class TorchTrainer(Trainer):
    """Trains a ``torch.nn.Module`` by autograd."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(model, loss_fn, optimizer, device)
        if device is not None:
            model.to(device)

    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step by autograd on a batch on the device."""
        self.optimizer.zero_grad()
        scores = self.model(x)  # (N, classes)
        loss = self.loss_fn(scores, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), scores.detach()

    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate a batch on the device."""
        scores = self.model(x)  # (N, classes)
        return self.loss_fn(scores, y), scores

    def get_state(self) -> dict[str, Tensor]:
        """Return the model's state dict."""
        return dict(self.model.state_dict())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict."""
        self.model.load_state_dict(state)


class LayerTrainer(Trainer):
    """Trains a model of ``hw2core.layers`` by its own ``backward``; images are flattened.

    Args:
        model: a layer, such as an MLP, on flattened images (N, C*H*W).
        loss_fn: a loss layer: ``loss_fn(scores, y)`` and ``loss_fn.backward()``.
        optimizer: of ``hw2core.optimizers``, on ``model.params()``.
        device: where batches go; the model's own device.
    """

    # Nothing here is recorded for autograd: the gradients are the layers' own work.
    @torch.no_grad()
    def train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Run forward, the layers' backward and one optimizer step."""
        self.optimizer.zero_grad()
        scores = self.model(x.flatten(1))  # (N, C, H, W) -> (N, C*H*W) -> (N, classes)
        loss = self.loss_fn(scores, y)
        # Nobody asks for the gradient of the images.
        self.model.accumulate_gradients(self.loss_fn.backward())
        self.optimizer.step()
        return loss, scores

    @torch.no_grad()
    def test_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate a batch."""
        scores = self.model(x.flatten(1))  # (N, classes)
        return self.loss_fn(scores, y), scores

    def get_state(self) -> dict[str, Tensor]:
        """Return the parameters by their position in ``model.params()``."""
        return {f"param{i}": p for i, (p, _) in enumerate(self.model.params())}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy the parameters into the model."""
        for name, parameter in self.get_state().items():
            parameter.copy_(state[name])
