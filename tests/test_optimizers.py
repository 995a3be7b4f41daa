"""Every optimizer against torch.optim or its written recurrence, and its handling of params."""

import math

import pytest
import torch

from hw2core.optimizers import MomentumSGD, Optimizer, RMSProp, VanillaSGD


def make_start(dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)
        for shape in [(4, 3), (4,), (1,), (2, 3, 2)]
    ]


def compute_gradient(p, step):
    """A deterministic gradient that depends on p and on the step, and is never zero."""
    return torch.sin(3 * p) + 0.5 * p + 0.1 * math.cos(step) + 0.3


def run_ours(make, steps, *, as_tensors, device="cpu"):
    """``steps`` steps of an optimizer of ours on (p, dp) pairs or on Tensors with .grad."""
    params = make_start(device=device)
    grads = [torch.zeros_like(p) for p in params]
    if as_tensors:
        for p, dp in zip(params, grads, strict=True):
            p.requires_grad_().grad = dp
    optimizer = make(params if as_tensors else list(zip(params, grads, strict=True)))
    for step in range(steps):
        optimizer.zero_grad()
        for p, dp in zip(params, grads, strict=True):
            dp += compute_gradient(p.data, step)
        optimizer.step()
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


@steps_and_forms
@lr_and_reg
def test_vanilla_sgd_is_torchs(lr, reg, steps, as_tensors):
    ours = run_ours(lambda ps: VanillaSGD(ps, lr, reg), steps, as_tensors=as_tensors)
    assert_close(ours, run_torch(lambda ps: torch.optim.SGD(ps, lr, weight_decay=reg), steps))


@pytest.mark.parametrize("mu", [0, 0.3, 0.9, 0.99])
@steps_and_forms
@lr_and_reg
def test_momentum_sgd_is_torchs_and_the_recurrence(lr, reg, mu, steps, as_tensors):
    def update(p, dp, v):
        v = mu * v - lr * (dp + reg * p)
        return p + v, v

    ours = run_ours(lambda ps: MomentumSGD(ps, lr, reg, mu), steps, as_tensors=as_tensors)
    expected = run_torch(lambda ps: torch.optim.SGD(ps, lr, momentum=mu, weight_decay=reg), steps)
    assert_close(ours, expected)
    assert_close(ours, run_recurrence(update, steps))


@pytest.mark.parametrize("eps", [1e-8, 0.1])
@pytest.mark.parametrize("decay", [0, 0.5, 0.99])
@steps_and_forms
@lr_and_reg
def test_rmsprop_is_the_recurrence(lr, reg, decay, eps, steps, as_tensors):
    def update(p, dp, r):
        g = dp + reg * p
        r = decay * r + (1 - decay) * g * g
        return p - lr * g / torch.sqrt(r + eps), r

    ours = run_ours(lambda ps: RMSProp(ps, lr, reg, decay, eps), steps, as_tensors=as_tensors)
    assert_close(ours, run_recurrence(update, steps))


@lr_and_reg
def test_rmsprop_is_torchs_where_eps_does_not_matter(lr, reg):
    """torch adds eps to the root; both agree as eps -> 0."""
    ours = run_ours(lambda ps: RMSProp(ps, lr, reg, 0.9, 1e-40), 50, as_tensors=False)
    assert_close(
        ours, run_torch(lambda ps: torch.optim.RMSprop(ps, lr, 0.9, 1e-20, weight_decay=reg), 50)
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("cls", [VanillaSGD, MomentumSGD, RMSProp])
def test_cuda_gives_what_the_cpu_gives(cls):
    on_cpu, on_cuda = (
        run_ours(lambda ps: cls(ps, 0.1, 0.1), 50, as_tensors=False, device=device)
        for device in ("cpu", "cuda")
    )
    assert_close([p.cpu() for p in on_cuda], on_cpu)


def test_eps_is_inside_the_root():
    p, dp = torch.zeros(1), torch.zeros(1)
    RMSProp([(p, dp.fill_(3))], learn_rate=1, decay=0, eps=16).step()
    assert p.item() == pytest.approx(-3 / 5)


def test_changed_learn_rate_scales_the_whole_velocity_as_in_torch():
    results = []
    for make, set_rate in [
        (lambda p: MomentumSGD([p], 0.1), lambda o: setattr(o, "learn_rate", 0.01)),
        (
            lambda p: torch.optim.SGD([p], 0.1, momentum=0.9),
            lambda o: o.param_groups[0].update(lr=0.01),
        ),
    ]:
        p = torch.ones(3, dtype=torch.float64, requires_grad=True)
        p.grad = torch.tensor([1.0, -2, 3], dtype=torch.float64)
        optimizer = make(p)
        optimizer.step()
        set_rate(optimizer)
        optimizer.step()
        results.append(p.detach())
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


OPTIMIZERS = [VanillaSGD, MomentumSGD, RMSProp]


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


@pytest.mark.parametrize("reg", [0, 0.5])
@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_step_is_in_place_and_leaves_the_gradient_alone(cls, reg):
    p, dp = torch.ones(3), torch.full((3,), 2.0)
    address = p.data_ptr()
    cls([(p, dp)], reg=reg).step()
    assert p.data_ptr() == address
    assert (p < 1).all()
    assert (dp == 2).all()


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
def test_zero_grad_is_in_place_and_clears_accumulated_gradients(cls):
    p, dp = torch.ones(3), torch.full((3,), math.nan)
    address = dp.data_ptr()
    cls([(p, dp)]).zero_grad()
    assert dp.data_ptr() == address
    assert torch.equal(dp, torch.zeros(3))
    assert torch.equal(p, torch.ones(3))


def test_params_lists_the_pairs():
    p, dp, t = torch.ones(3), torch.zeros(3), torch.ones(2, requires_grad=True)
    params = VanillaSGD(((p, dp), t)).params
    assert params[0][0] is p
    assert params[0][1] is dp
    assert params[1][0].data_ptr() == t.data_ptr()
    assert not params[1][0].requires_grad
    assert params[1][1] is None
    t.grad = torch.ones(2)
    assert VanillaSGD([t]).params[0][1] is t.grad


def test_params_that_are_added_to_the_list_later_do_not_count():
    pairs = [(torch.ones(1), torch.ones(1))]
    optimizer = MomentumSGD(pairs)
    pairs.append((torch.ones(1), torch.ones(1)))
    assert len(optimizer.params) == 1


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
