"""Plots one fit, or all fits that match a pattern, in one figure (the course's API)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hw2core.analysis.figures.style import use_style
from hw2core.analysis.tables import split_numbers
from hw2core.history import FitResult, ValidatedFit
from hw2core.runs import paths
from hw2core.runs.course import read_fit

PANELS = (
    ("train_loss", "Training", "loss"),
    ("train_acc", "Training", "accuracy (%)"),
    ("test_loss", "Test", "loss"),
    ("test_acc", "Test", "accuracy (%)"),
)


def plot_fit(
    fit_res: FitResult,
    fig: Figure | None = None,
    log_loss: bool = False,
    legend: str | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw the training and test loss and accuracy of a fit over its epochs.

    Losses may be one per epoch or one per batch; a batch is drawn where it ends within its epoch.
    "Test" is the set that ``fit`` evaluated after each epoch; a ``ValidatedFit``, as the study's
    results are, has "Validation" in its place.

    Args:
        fit_res: the result of ``Trainer.fit``.
        fig: a figure of an earlier call, to draw into; None makes a new one.
        log_loss: draw losses on a logarithmic scale.
        legend: name of this fit in the legend, in place of an earlier fit of the same name; None
            leaves it out.

    Returns:
        The figure, and its four axes in the order of ``PANELS``: training loss and accuracy, then
        test loss and accuracy.

    Raises:
        ValueError: ``fig`` does not have the four axes of an earlier call.
    """
    with use_style():
        if fig is None:
            fig, _ = plt.subplots(2, 2, figsize=(7.1, 5.0), sharex=True)
        axes = fig.axes
        if len(axes) != len(PANELS):
            raise ValueError(f"fig: has {len(axes)} axes, not the {len(PANELS)} of plot_fit")
        # Accuracies are one per epoch.
        num_epochs = len(fit_res.train_acc) or fit_res.num_epochs
        for panel, (field, part, quantity) in zip(axes, PANELS, strict=True):
            values = np.array(getattr(fit_res, field), dtype=float)  # None becomes NaN
            per_epoch = max(1.0, len(values) / max(num_epochs, 1))
            places = (1 + np.arange(len(values))) / per_epoch
            _draw_line(panel, places, values, legend)
            if part == "Test" and isinstance(fit_res, ValidatedFit):
                part = "Validation"
            if panel.get_title("left") not in ("", title := f"{part} {quantity}"):
                title = f"Validation or test {quantity}"
            panel.set_title(title, loc="left")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            if field.endswith("loss"):
                panel.set_yscale("log" if log_loss else "linear")
            if legend is not None:
                panel.legend()
        for panel in axes[2:]:
            panel.set_xlabel("Epoch")
    return fig, np.array(axes, dtype=object)


def _draw_line(panel: Axes, places: np.ndarray, values: np.ndarray, label: str | None) -> None:
    """Draw the curve of a fit, or replace that of an earlier fit with the same label."""
    marker = "o" if len(values) == 1 else "None"
    for line in panel.get_lines():
        if line.get_label() == label:
            line.set(data=(places, values), marker=marker)
            panel.relim()
            panel.autoscale_view()
            return
    panel.plot(places, values, label=label, marker=marker)


def plot_exp_results(
    filename_pattern: Path | str, results_dir: Path | str = "results"
) -> tuple[Figure, np.ndarray]:
    """Draw the fits of all matching result files in one figure, labelled by run.

    Labels begin with as many folders as it takes to tell the files apart.

    Args:
        filename_pattern: a glob for run names, with or without ``.json``: ``exp1_1_L*_K32*.json``.
            It finds files ``<run>.json`` of ``run_experiment`` or of the course and
            ``<run>/seed*.json`` of the study. ``results_dir`` is left out if it is absolute.
        results_dir: folder of the results.

    Returns:
        The figure and its four axes, as ``plot_fit``.

    Raises:
        FileNotFoundError: nothing matches.
        ResultError: a matching file is damaged, or no result.
    """
    pattern = Path(str(filename_pattern).removesuffix(".json"))
    folder = Path(pattern.anchor or results_dir)
    runs = pattern.relative_to(pattern.anchor)
    found = (*folder.glob(f"{runs}.json"), *folder.glob(f"{runs}/{paths.RESULT_GLOB}"))
    files = {file for file in found if not file.match(paths.EVALUATION_GLOB)}
    if not files:
        raise FileNotFoundError(f"{folder}: no result matches {str(filename_pattern)!r}")
    fig: Figure | None = None
    labels = _label_files(files)
    for file in sorted(files, key=lambda file: split_numbers(file.as_posix())):
        fig, axes = plot_fit(read_fit(file)[1], fig, legend=labels[file])
    assert fig is not None  # there is a file
    return fig, axes


def _label_files(files: Iterable[Path]) -> dict[Path, str]:
    """Return file -> label: its run, after as many folders as tell the files apart."""
    labels: dict[Path, str] = {}
    for parts in range(1, 1 + max(len(file.parts) for file in files)):
        for file in files:
            of_study = re.fullmatch(r"seed\d+", file.stem)
            run, seed = (file.parent, f", {file.stem}") if of_study else (file.with_suffix(""), "")
            labels[file] = f"{Path(*run.parts[-parts:])}{seed}"
        if len(set(labels.values())) == len(labels):
            break
    return labels
