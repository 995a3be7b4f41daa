"""Before a training: checks of the network by which it could fail, or go wrong, at the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hw2core.config.networks import IN_SIZE
from hw2core.config.spec import RunSpec
from hw2core.engine.generators import keep_generators
from hw2core.engine.run import NetworkError, build_trainer
from hw2core.engine.trainer import RunTrainer
from hw2core.runs.weights import serialize_weights

NUM_IMAGES = 4  # of a step; batch norm needs more than one


def check_network(spec: RunSpec) -> None:
    """Check that a network's costs and weights can be recorded, and what its steps change.

    Raises:
        NetworkError: nothing in it counts as cost, or a step assigns a tensor that is saved, counts
            in a plain number, or counts in integers beside averaged weights.
        Exception: any that the network raises, with a note that says where.
    """
    device = torch.device("cpu")
    with keep_generators(device):
        trainer = build_trainer(spec, device, num_steps=1)
        problem = "cannot compute the logits of a single image"
        try:
            costs = trainer.count_costs(IN_SIZE)
            problem = "weights that cannot be saved as safetensors"
            serialize_weights(trainer.get_weights())
            problem = f"cannot train on {NUM_IMAGES} images"
            changed = _find_changed(trainer, spec.data.num_classes)
        except Exception as error:
            # Not a UserError: who wrote the network needs the traceback.
            error.add_note(f"{spec.implementation}: {problem}")
            raise
    if not all(costs):
        raise NetworkError(f"{spec.implementation}: no parameters, or no convolution or product")
    if changed:
        raise NetworkError(f"{spec.implementation}: a training step {changed[0]}")


def _find_changed(trainer: RunTrainer, num_classes: int) -> list[str]:
    """Return what two training steps change that an EMA, checkpoint or CUDA graph would miss."""
    model = trainer.model
    if not isinstance(model, nn.Module):
        return []
    tensors, numbers = _list_saved(model), _list_numbers(model)
    places = {name: tensor.data_ptr() for name, tensor in tensors.items()}
    # Torch's batch norm reads its count of batches in training only.
    counts = {
        name: tensor.clone()
        for name, tensor in tensors.items()
        if not tensor.is_floating_point() and not name.endswith("num_batches_tracked")
    }
    trainer.set_training_mode(True)
    x = torch.randn(NUM_IMAGES, *IN_SIZE)  # (N, C, H, W)
    y = torch.arange(NUM_IMAGES) % num_classes
    for _ in range(2):
        trainer.train_step(x, y)
    found = [
        f"assigns {name}, which averaged weights and CUDA graphs miss; change it in place "
        f"(self.{name.rpartition('.')[2]}.copy_(...))"
        for name, tensor in _list_saved(model).items()
        if tensor is not tensors.get(name) or tensor.data_ptr() != places[name]
    ]
    found += [
        f"changes the number {name}, which checkpoints and CUDA graphs miss; register it as a "
        "buffer, and change it in place"
        for name, value in _list_numbers(model).items()
        if name in numbers and value != numbers[name]
    ]
    if getattr(trainer, "ema", None) is not None:
        found += [
            f"changes {name}, which is not averaged (training.average); register it as floats"
            for name, value in counts.items()
            if not torch.equal(value, tensors[name])
        ]
    return found


def _list_saved(model: nn.Module) -> dict[str, Tensor]:
    saved = model.state_dict().keys()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor for name, tensor in tensors if name in saved}


def _list_numbers(model: nn.Module) -> dict[str, float]:
    return {
        f"{place}.{name}".lstrip("."): value
        for place, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, int | float) and name != "training"
    }
