"""Every optimizer against torch.optim or its written recurrence, and its handling of params."""

import math

import pytest
import torch

from hw2core.optimizers import MomentumSGD, Optimizer, RMSProp, VanillaSGD

OPTIMIZERS = [VanillaSGD, MomentumSGD, RMSProp]


def make_start(dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)
        for shape in [(4, 3), (4,), (1,), (2, 3, 2)]
    ]


def compute_gradient(p, step):
    """A deterministic gradient that depends on p and on the step, and is never zero."""
    return torch.sin(3 * p) + 0.5 * p + 0.1 * math.cos(step) + 0.3


def run_ours(make, steps, *, as_tensors=False, device="cpu"):
    """``steps`` steps of an optimizer of ours on (p, dp) pairs or on Tensors with .grad."""
    params = make_start(device=device)
    grads = [torch.zeros_like(p) for p in params]
    if as_tensors:
        for p, dp in zip(params, grads, strict=True):
            p.requires_grad_().grad = dp
    optimizer = make(params if as_tensors else list(zip(params, grads, strict=True)))
    for step in range(steps):
        optimizer.zero_grad()
        expected = [compute_gradient(p.data, step) for p in params]
        for dp, gradient in zip(grads, expected, strict=True):
            dp += gradient
        optimizer.step()
        assert all(map(torch.equal, grads, expected))  # a step leaves the gradients alone
    return [p.detach() for p in params]


def run_torch(make, steps):
    params = [p.requires_grad_() for p in make_start()]
    optimizer = make(params)
    for step in range(steps):
        for p in params:
            p.grad = compute_gradient(p.detach(), step)
        optimizer.step()
    return [p.detach() for p in params]


def run_recurrence(update, steps):
    """``update(p, g, state) -> p, state`` as written in a textbook, from state 0."""
    results = []
    for p in make_start():
        state = torch.zeros_like(p)
        for step in range(steps):
            p, state = update(p, compute_gradient(p, step), state)
        results.append(p)
    return results


def assert_close(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


steps_and_forms = pytest.mark.parametrize(
    ("steps", "as_tensors"), [(1, False), (1, True), (50, True)]
)
lr_and_reg = pytest.mark.parametrize(
    ("lr", "reg"), [(0, 0), (1e-3, 0), (0.1, 0), (1e-3, 0.1), (0.1, 0.1), (0.1, 2)]
)


@pytest.mark.parametrize("mu", [None, 0, 0.3, 0.9, 0.99])
@steps_and_forms
@lr_and_reg
def test_sgd_is_torchs(lr, reg, mu, steps, as_tensors):
    def make(params):
        return VanillaSGD(params, lr, reg) if mu is None else MomentumSGD(params, lr, reg, mu)

    def make_theirs(params):
        return torch.optim.SGD(params, lr, momentum=mu or 0, weight_decay=reg)

    assert_close(run_ours(make, steps, as_tensors=as_tensors), run_torch(make_theirs, steps))


@pytest.mark.parametrize("eps", [1e-8, 0.1])
@pytest.mark.parametrize("decay", [0, 0.5, 0.99])
@steps_and_forms
@lr_and_reg
def test_rmsprop_is_the_recurrence(lr, reg, decay, eps, steps, as_tensors):
    """torch adds eps to the root, so it can be compared with only as eps -> 0."""

    def update(p, dp, r):
        g = dp + reg * p
        r = decay * r + (1 - decay) * g * g
        return p - lr * g / torch.sqrt(r + eps), r

    ours = run_ours(lambda ps: RMSProp(ps, lr, reg, decay, eps), steps, as_tensors=as_tensors)
    assert_close(ours, run_recurrence(update, steps))


@pytest.mark.gpu
@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_cuda_gives_what_the_cpu_gives(cls):
    on_cpu, on_cuda = (
        run_ours(lambda ps: cls(ps, 0.1, 0.1), 50, device=device) for device in ("cpu", "cuda")
    )
    assert_close([p.cpu() for p in on_cuda], on_cpu)


def test_changed_learn_rate_scales_the_whole_velocity_as_in_torch():
    p, dp = torch.ones(1), torch.ones(1)
    optimizer = MomentumSGD([(p, dp)], 0.1, momentum=0.5)
    optimizer.step()  # g = 1: p = 1 - 0.1 · 1
    optimizer.learn_rate = 0.01
    optimizer.step()  # the velocity in units of g is 1.5
    assert p.item() == pytest.approx(1 - 0.1 - 0.01 * 1.5)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_defaults(cls):
    optimizer = cls([])
    assert optimizer.learn_rate == 1e-3
    assert optimizer.reg == 0
    assert getattr(optimizer, "momentum", 0.9) == 0.9
    assert getattr(optimizer, "decay", 0.99) == 0.99
    assert getattr(optimizer, "eps", 1e-8) == 1e-8
    optimizer.zero_grad()
    optimizer.step()  # nothing to update is no error


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_gradients_that_are_none_are_skipped_until_there_is_one(cls):
    """A skipped parameter takes no step, not even its L2 one, and its state does not decay."""
    skipped, used = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    used.grad = torch.ones(2)
    optimizer = cls([skipped, used], reg=0.1)
    optimizer.zero_grad()
    assert skipped.grad is None
    assert not used.grad.any()
    used.grad.fill_(1)
    optimizer.step()
    assert (skipped == 1).all()
    assert (used < 1).all()
    fresh = torch.ones(2, requires_grad=True)
    skipped.grad, fresh.grad = torch.ones(2), torch.ones(2)
    optimizer.step()
    cls([fresh], reg=0.1).step()
    assert torch.equal(skipped, fresh)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_zero_grad_clears_what_is_not_finite(cls):
    p, dp = torch.ones(3), torch.full((3,), math.nan)
    cls([(p, dp)]).zero_grad()
    assert torch.equal(dp, torch.zeros(3))
    assert torch.equal(p, torch.ones(3))


def test_params_lists_the_pairs():
    p, dp, t = torch.ones(3), torch.zeros(3), torch.ones(2, requires_grad=True)
    given = [(p, dp), t]
    optimizer = VanillaSGD(given)
    given.append(torch.ones(1))  # later: it does not count
    (first, second), (data, grad) = optimizer.params
    assert first is p
    assert second is dp
    assert data.data_ptr() == t.data_ptr()
    assert not data.requires_grad
    assert grad is None
    t.grad = torch.ones(2)
    assert optimizer.params[1][1] is t.grad


@pytest.mark.parametrize(
    "params",
    [
        (t for t in [torch.ones(1)]),
        torch.ones(2),
        {"w": torch.ones(1)},
        [torch.ones(1), "w"],
        [(torch.ones(1),)],
        [(torch.ones(1), None)],
        [(torch.ones(1), torch.ones(1), torch.ones(1))],
        [[torch.ones(1), torch.ones(1)]],
    ],
)
def test_params_of_another_type_are_refused(params):
    with pytest.raises(TypeError, match=r"^params"):
        VanillaSGD(params)


def test_gradient_of_another_shape_is_refused():
    good = (torch.ones(1), torch.ones(1))
    with pytest.raises(
        ValueError, match=r"params\[1\]: dp has shape \(3,\), must be p's, \(2, 3\)"
    ):
        VanillaSGD([good, (torch.ones(2, 3), torch.ones(3))])


BAD_HYPER_PARAMETERS = [
    *[(cls, "learn_rate", v) for cls in OPTIMIZERS for v in (-1e-3, math.inf, math.nan)],
    *[(cls, "reg", v) for cls in OPTIMIZERS for v in (-1e-3, math.inf, math.nan)],
    *[(MomentumSGD, "momentum", v) for v in (-0.1, 1, math.nan)],
    *[(RMSProp, "decay", v) for v in (-0.1, 1, math.nan)],
    *[(RMSProp, "eps", v) for v in (-1, 0, math.inf, math.nan)],
]


@pytest.mark.parametrize(("cls", "name", "value"), BAD_HYPER_PARAMETERS)
def test_hyper_parameters_out_of_range_are_refused(cls, name, value):
    with pytest.raises(ValueError, match=rf"^{name}={value}: must be in [\[(]0, (1|inf)\)$"):
        cls([], **{name: value})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_every_float_dtype_keeps_its_dtype_and_moves(cls, dtype):
    params = make_start(dtype)
    before = [p.clone() for p in params]
    optimizer = cls([(p, torch.ones_like(p)) for p in params], 0.1, 0.1)
    for _ in range(3):
        optimizer.step()
    for p, start in zip(params, before, strict=True):
        assert p.dtype == dtype
        assert p.isfinite().all()
        assert (p < start).any()


def test_optimizer_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Optimizer([])
