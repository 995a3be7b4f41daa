import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from hw2core.uncompiled import leave_out_compiler

OPTIMIZERS = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
]
SCRIPT = """
import sys, torch
from hw2core.uncompiled import leave_out_compiler
model = torch.nn.Linear(3, 2)
optimizer = leave_out_compiler(getattr(torch.optim, sys.argv[1]))(model.parameters(), lr=0.1)
for _ in range(2):
    optimizer.zero_grad(set_to_none=True)
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def take_steps(model, optimizer, number):
    for i in range(number):
        optimizer.zero_grad(set_to_none=True)
        x = torch.linspace(-1, 1 + i, 12).reshape(4, 3)
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_steps_and_state_are_those_of_torch(kind, options):
    torch.manual_seed(0)
    theirs = nn.Linear(3, 2)
    ours = copy.deepcopy(theirs)
    optimizers = []
    for model, make in ((theirs, kind), (ours, leave_out_compiler(kind))):
        optimizer = make(model.parameters(), **options)
        take_steps(model, optimizer, 3)
        again = make(model.parameters(), **options)
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        take_steps(model, again, 3)
        optimizers.append(again)
    assert isinstance(optimizers[1], kind)
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(a, b)
    a, b = (optimizer.state_dict() for optimizer in optimizers)
    assert a["param_groups"] == b["param_groups"]
    for index, memory in a["state"].items():
        for name, value in memory.items():
            assert torch.equal(value, b["state"][index][name])


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_the_compiler_is_not_imported(kind):
    command = [sys.executable, "-c", SCRIPT, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
