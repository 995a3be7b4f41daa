"""Do the tests notice a wrong implementation? One-line mutants, each run against its tests.

Every mutant replaces one piece of one line in a temporary copy of the package and the tests, and
runs the tests that belong to its file; it is killed when they fail. A mutant whose old text does
not occur exactly once is an error of this list, found before anything runs. To extend it: an entry
in MUTANTS, and for a new file one in TESTS. Usage: python bench/mutants.py [--only TEXT] [--jobs 2]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300  # a mutant that never ends is killed too

LAYER_BASE, LAYERS = "hw2core/layer_base.py", "hw2core/layers.py"
OPTIMIZERS = "hw2core/optimizers.py"

# File -> the test files that must notice a mistake in it.
LAYER_TESTS = [
    "tests/test_layers.py",
    "tests/test_layers_loss.py",
    "tests/test_layers_dropout.py",
    "tests/test_layers_composed.py",
]
TESTS: dict[str, list[str]] = {
    LAYER_BASE: LAYER_TESTS,
    LAYERS: LAYER_TESTS,
    OPTIMIZERS: ["tests/test_optimizers.py"],
}

# (file, old text, new text)
MUTANTS: list[tuple[str, str, str]] = [
    # Sequential and the base class
    (LAYER_BASE, "self.training_mode = True", "self.training_mode = False"),
    (LAYER_BASE, "self.training_mode = training_mode", "self.training_mode = True"),
    (
        LAYER_BASE,
        'training_mode: bool = True) -> None:\n        """Set the mode: t',
        'training_mode: bool = False) -> None:\n        """Set the mode: t',
    ),
    (LAYER_BASE, "        self.backward(dout)\n", "        pass\n"),
    (LAYER_BASE, "return self.forward(*args, **kw)", "return self.forward(*args)"),
    (LAYER_BASE, "x = layer(x, **kw)", "x = layer(x)"),
    (LAYER_BASE, "for layer in reversed(self.layers):", "for layer in self.layers:"),
    (LAYER_BASE, "reversed(self.layers[1:])", "reversed(self.layers)"),
    (LAYER_BASE, "reversed(self.layers[1:])", "reversed(self.layers[2:])"),
    (LAYER_BASE, "first.accumulate_gradients(dout)", "first.backward(dout)"),
    (LAYER_BASE, "for first in self.layers[:1]:", "for first in self.layers[:2]:"),
    (LAYER_BASE, "            layer.train(training_mode)", "            layer.train()"),
    (LAYER_BASE, "super().train(training_mode)", "super().train()"),
    (
        LAYER_BASE,
        "for layer in self.layers for pair in",
        "for layer in self.layers[:-1] for pair in",
    ),
    (LAYER_BASE, "return len(self.layers)", "return len(self.layers) - 1"),
    (LAYER_BASE, "Sequential(*self.layers[index]) if", "Sequential(*self.layers) if"),
    # Activations
    (LAYERS, "alpha: float = 0.01", "alpha: float = 0.1"),
    (LAYERS, "if not 0 <= alpha < 1:", "if not 0 <= alpha <= 1:"),
    (LAYERS, "if not 0 <= alpha < 1:", "if not 0 < alpha < 1:"),
    (
        LAYERS,
        "torch.where(x > 0, x, self.alpha * x)",
        "torch.where(x > 0, x, self.alpha * x.abs())",
    ),
    (LAYERS, 'self.grad_cache["x"] > 0, dout', 'self.grad_cache["x"] >= 0, dout'),
    (LAYERS, "dout, self.alpha * dout)", "dout, 0 * dout)"),
    (LAYERS, "z = torch.relu(x)", "z = x.abs()"),
    (LAYERS, 'self.grad_cache["z"].sign()', 'self.grad_cache["z"]'),
    (LAYERS, "z = torch.sigmoid(x)", "z = x.exp() / (1 + x.exp())"),
    (LAYERS, "dout * z * (1 - z)", "dout * (1 - z)"),
    (LAYERS, "dout * z * (1 - z)", "dout * z * (1 + z)"),
    (LAYERS, "z = torch.tanh(x)", "z = (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())"),
    (LAYERS, '(1 - self.grad_cache["z"] ** 2)', '(1 - self.grad_cache["z"])'),
    (LAYERS, '(1 - self.grad_cache["z"] ** 2)', '(1 - self.grad_cache["z"] ** 3)'),
    # Linear
    (LAYERS, "wstd: float = 0.1", "wstd: float = 1.0"),
    (LAYERS, ".normal_(0, wstd)", ".normal_(0, 0.1)"),
    (LAYERS, ".normal_(0, wstd)", ".normal_(0, wstd**2)"),
    (LAYERS, ".normal_(0, wstd)", ".normal_(wstd, wstd)"),
    (LAYERS, "if size < 1:", "if size < 0:"),
    (LAYERS, "if not 0 <= wstd < math.inf:", "if not 0 <= wstd <= math.inf:"),
    (LAYERS, "self.b = torch.zeros(", "self.b = torch.ones("),
    (LAYERS, "self.dw = torch.zeros_like(self.w)", "self.dw = torch.ones_like(self.w)"),
    (LAYERS, "[(self.w, self.dw), (self.b, self.db)]", "[(self.b, self.db), (self.w, self.dw)]"),
    (LAYERS, "torch.addmm(self.b, rows, self.w.T)", "torch.mm(rows, self.w.T)"),
    (LAYERS, "z.reshape(*x.shape[:-1], self.out_features)", "z.reshape(-1, self.out_features)"),
    (LAYERS, "return dout @ self.w\n", "return dout @ self.w * 0.999\n"),
    (LAYERS, "        self.accumulate_gradients(dout)\n        return dout", "        return dout"),
    (LAYERS, "self.dw.addmm_(dout_rows.T, rows)", "self.dw.addmm_(dout_rows.T, rows, beta=0)"),
    (LAYERS, "self.dw.addmm_(dout_rows.T, rows)", "self.dw = self.dw.addmm(dout_rows.T, rows)"),
    (LAYERS, "self.db.add_(dout_rows.sum(dim=0))", "self.db.copy_(dout_rows.sum(dim=0))"),
    (LAYERS, "self.db.add_(dout_rows.sum(dim=0))", "self.db.add_(dout_rows.mean(dim=0))"),
    # Cross-entropy
    (LAYERS, "torch.log_softmax(x, dim=1)", "x - x.exp().sum(dim=1, keepdim=True).log()"),
    (LAYERS, "torch.log_softmax(x, dim=1)", "x - x.logsumexp(dim=1, keepdim=True)"),
    (LAYERS, "torch.log_softmax(x, dim=1)", "torch.log_softmax(x, dim=-1)"),
    (LAYERS, "-log_p.gather(1, y.unsqueeze(1)).mean()", "-log_p.gather(1, y.unsqueeze(1)).sum()"),
    (LAYERS, "if y.shape != x.shape[:1] + x.shape[2:]:", "if len(y) != len(x):"),
    (LAYERS, "-torch.ones_like(true_class", "torch.ones_like(true_class"),
    (LAYERS, "dx.mul_(dout / y.numel())", "dx.mul_(1 / y.numel())"),
    (LAYERS, "dx.mul_(dout / y.numel())", "dx.mul_(dout / len(y))"),
    (LAYERS, "dx.mul_(dout / y.numel())", "dx.mul_(dout)"),
    (LAYERS, 'self.grad_cache["log_p"].exp()', 'self.grad_cache["log_p"].exp_()'),
    # Dropout
    (LAYERS, ".bernoulli_(1 - self.p)", ".bernoulli_(self.p)"),
    (LAYERS, "keep / (1 - self.p) if", "keep / self.p if"),
    (LAYERS, "keep / (1 - self.p) if self.p < 1 else keep", "keep"),
    (LAYERS, "if self.p < 1 else keep", "if self.p <= 1 else keep"),
    (LAYERS, "if not self.training_mode:", "if self.training_mode:"),
    (LAYERS, "self.grad_cache.clear()", "pass"),
    (LAYERS, "dout if mask is None else dout * mask", "dout"),
    (LAYERS, "if not 0 <= p <= 1:", "if not 0 <= p < 1:"),
    (LAYERS, "if not 0 <= p <= 1:", "if not p <= 1:"),
    (LAYERS, "p: float = 0.5", "p: float = 0.1"),
    (
        LAYERS,
        "torch.empty(x.shape, dtype=x.dtype, device=x.device).bern",
        "torch.empty_like(x).bern",
    ),
    # MLP
    (LAYERS, '"relu": ReLU, "sigmoid": Sigmoid}', '"relu": ReLU, "sigmoid": ReLU}'),
    (LAYERS, "Linear(in_features, width, **kw)", "Linear(in_features, width)"),
    (LAYERS, "Linear(in_features, num_classes, **kw)", "Linear(in_features, num_classes)"),
    (LAYERS, "if dropout != 0:", "if dropout == 0:"),
    (LAYERS, "layers.append(Dropout(dropout))", "layers.append(Dropout())"),
    (LAYERS, "            in_features = width\n", ""),
    (LAYERS, "return self.sequence(x, **kw)", "return self.sequence(x)"),
    (LAYERS, "        self.sequence.train(training_mode)\n", ""),
    (LAYERS, "training_mode: bool = True", "training_mode: bool = False"),
    (
        LAYERS,
        "        self.sequence.accumulate_gradients(dout)",
        "        self.sequence.backward(dout)",
    ),
    # Optimizers
    (OPTIMIZERS, "dp.zero_()", "p.zero_()"),
    (OPTIMIZERS, "            if dp is not None:\n", "            if dp is None:\n"),
    (OPTIMIZERS, "if p.shape != dp.shape:", "if p.dim() < dp.dim():"),
    (OPTIMIZERS, "self._params = tuple(params)", "self._params = params"),
    (OPTIMIZERS, "(x.data, x.grad) if", "(x, x.grad) if"),
    (OPTIMIZERS, "if not 0 <= value < end:", "if not 0 <= value <= end:"),
    (OPTIMIZERS, "if not 0 <= value < end:", "if not 0 < value < end:"),
    (OPTIMIZERS, "if not 0 <= value < end:", "if value < 0 or value >= end:"),
    (OPTIMIZERS, "p.mul_(1 - self.learn_rate * self.reg)", "p.mul_(1 - self.reg)"),
    (
        OPTIMIZERS,
        "p.mul_(1 - self.learn_rate * self.reg)",
        "p.mul_(1 + self.learn_rate * self.reg)",
    ),
    (OPTIMIZERS, "p.mul_(1 - self.learn_rate * self.reg)", "p"),
    (OPTIMIZERS, ".add_(dp, alpha=-self.learn_rate)", ".add_(dp, alpha=self.learn_rate)"),
    (OPTIMIZERS, "m.lerp_(dp, weight)", "m.lerp_(dp, self.momentum)"),
    (OPTIMIZERS, "m.lerp_(dp, weight)", "m.add_(dp, alpha=weight)"),
    (OPTIMIZERS, "m.lerp_(dp, weight)", "m = m.lerp(dp, weight)"),
    (OPTIMIZERS, "alpha=weight * self.reg", "alpha=self.reg"),
    (OPTIMIZERS, "            if self.reg != 0:", "            if self.reg > 1:"),
    (OPTIMIZERS, "p.add_(m, alpha=-self.learn_rate / weight)", "p.add_(m, alpha=-self.learn_rate)"),
    (OPTIMIZERS, "torch.add(dp, p, alpha=self.reg)", "dp.add_(p, alpha=self.reg)"),
    (OPTIMIZERS, "dp if self.reg == 0 else torch.add(dp, p, alpha=self.reg)", "dp"),
    (OPTIMIZERS, "r.mul_(self.decay)", "r"),
    (OPTIMIZERS, "value=1 - self.decay", "value=self.decay"),
    (OPTIMIZERS, "addcmul_(g, g, value", "addcmul_(dp, dp, value"),
    (OPTIMIZERS, "r.add(self.eps).sqrt_()", "r.sqrt().add_(self.eps)"),
    (OPTIMIZERS, "r.add(self.eps).sqrt_()", "r.add_(self.eps).sqrt()"),
    (OPTIMIZERS, "value=-self.learn_rate)", "value=-1e-3)"),
    (OPTIMIZERS, "if not 0 < eps < math.inf:", "if not 0 <= eps < math.inf:"),
    (OPTIMIZERS, "momentum: float = 0.9", "momentum: float = 0.99"),
    (OPTIMIZERS, "decay: float = 0.99", "decay: float = 0.9"),
    (OPTIMIZERS, "eps: float = 1e-8", "eps: float = 1e-6"),
]


def check_mutants() -> None:
    """Refuse a list with an entry that changes nothing or whose place is not unique."""
    errors = [
        f"{file}: {old!r} occurs {count} times"
        for file, old, new in MUTANTS
        if (count := (ROOT / file).read_text().count(old)) != 1 or old == new
    ]
    if errors:
        sys.exit("Mutants without exactly one place:\n" + "\n".join(errors))


def run_tests(tests: list[str], file: str | None = None, source: str = "") -> bool:
    """Return whether ``tests`` pass on a copy of the tree in which ``file`` holds ``source``."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        without_caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "hw2core", tree / "hw2core", ignore=without_caches)
        shutil.copytree(ROOT / "tests", tree / "tests", ignore=without_caches)
        shutil.copy(ROOT / "pyproject.toml", tree)
        if file is not None:
            (tree / file).write_text(source)
        # One thread a process: the tensors of the tests are small and the jobs share the cores.
        environment = os.environ | {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        try:
            result = subprocess.run(
                command, cwd=tree, env=environment, capture_output=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            return False
    if result.returncode not in (0, 1, 2):  # 1: a test failed; 2: the mutant cannot be imported
        raise RuntimeError(f"pytest ended with {result.returncode}:\n{result.stdout.decode()}")
    return result.returncode == 0


def run_mutant(mutant: tuple[str, str, str]) -> bool:
    """Return whether the mutant survives its tests."""
    file, old, new = mutant
    return run_tests(TESTS[file], file, (ROOT / file).read_text().replace(old, new))


def show(text: str) -> str:
    """Return ``text`` on one line of a Markdown table."""
    line = " ⏎ ".join(part.strip() for part in text.splitlines() if part.strip())
    return f"`{line}`".replace("|", "\\|") if line else "(removed)"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the tests against one-line mutants.")
    parser.add_argument("--only", default="", help="only mutants whose file or text contains this")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    args = parser.parse_args()

    check_mutants()
    chosen = [mutant for mutant in MUTANTS if any(args.only in part for part in mutant)]
    if not chosen:
        sys.exit(f"No mutant's file or text contains {args.only!r}.")
    for file in sorted({file for file, _, _ in chosen}):
        if not run_tests(TESTS[file]):
            sys.exit(f"The tests of {file} fail without any mutant: nothing to measure.")

    print("| file | old | new | result |\n|---|---|---|---|")
    survivors = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        for (file, old, new), survived in zip(chosen, pool.map(run_mutant, chosen), strict=True):
            survivors += survived
            result = "**survived**" if survived else "killed"
            print(f"| {Path(file).name} | {show(old)} | {show(new)} | {result} |", flush=True)
    killed = len(chosen) - survivors
    print(f"\n{killed} of {len(chosen)} mutants killed ({killed / len(chosen):.1%}).")


if __name__ == "__main__":
    main()
