"""Optimizers of torch that do not load its compiler."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])
# Wrapped by torch so that torch.compile leaves them alone.
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def leave_out_compiler(kind: Kind) -> Kind:
    """Return a subclass of an optimizer class that does the same without ``torch._dynamo``.

    Torch wraps methods of its optimizers in hints for ``torch.compile`` that import
    ``torch._dynamo`` when they are first called, compiled or not: more than half the time of
    ``import torch`` again, in every job. Nothing is compiled here, so the methods are called as
    they are written.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    # Torch's wrapper of step also turns gradients off.
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)  # type: ignore[return-value]
