"""Plots one fit, or all fits that match a pattern, in one figure (the course's API)."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from hw2core.analysis.figures.style import use_style
from hw2core.analysis.tables import split_numbers
from hw2core.history import FitResult
from hw2core.runs import paths
from hw2core.runs.files import read_result

PANELS = (
    ("train_loss", "Training loss"),
    ("train_acc", "Training accuracy (%)"),
    ("test_loss", "Test loss"),
    ("test_acc", "Test accuracy (%)"),
)


def plot_fit(
    fit_res: FitResult,
    fig: Figure | None = None,
    log_loss: bool = False,
    legend: str | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw the training and test loss and accuracy of a fit over its epochs.

    Losses may be one per epoch or one per batch; a batch is drawn where it ends within its epoch.
    "Test" is the set that ``fit`` evaluated after each epoch; in the study, the validation split.

    Args:
        fit_res: the result of ``Trainer.fit``.
        fig: a figure of an earlier call, to draw into; None makes a new one.
        log_loss: draw losses on a logarithmic scale.
        legend: name of this fit in the legend; None leaves it out.

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
        for panel, (field, title) in zip(axes, PANELS, strict=True):
            values = np.array(getattr(fit_res, field), dtype=float)  # None becomes NaN
            per_epoch = max(1.0, len(values) / max(fit_res.num_epochs, 1))
            places = (1 + np.arange(len(values))) / per_epoch
            panel.plot(places, values, label=legend, marker="o" if len(values) == 1 else None)
            panel.set_title(title)
            if field.endswith("loss"):
                panel.set_yscale("log" if log_loss else "linear")
            if legend is not None:
                panel.legend()
        for panel in axes[2:]:
            panel.set_xlabel("Epoch")
    return fig, np.array(axes, dtype=object)


def plot_exp_results(
    filename_pattern: str, results_dir: Path | str = "results"
) -> tuple[Figure, np.ndarray]:
    """Draw the fits of all matching result files in one figure, labelled by run.

    Args:
        filename_pattern: a glob for run names, with or without ``.json``: ``exp1_1_L*_K32``. It
            finds files ``<run>.json`` of ``run_experiment`` and ``<run>/seed*.json`` of the study.
        results_dir: folder of the results.

    Returns:
        The figure and its four axes, as ``plot_fit``.

    Raises:
        FileNotFoundError: nothing matches.
        ResultError: a matching file is damaged.
    """
    folder, pattern = Path(results_dir), filename_pattern.removesuffix(".json")
    files = [*folder.glob(f"{pattern}.json"), *folder.glob(f"{pattern}/{paths.RESULT_GLOB}")]
    if not files:
        raise FileNotFoundError(f"{folder}: no result matches {filename_pattern!r}")
    fig: Figure | None = None
    for file in sorted(set(files), key=lambda file: split_numbers(file.as_posix())):
        name = file.stem if file.parent == folder else f"{file.parent.name}, {file.stem}"
        fig, axes = plot_fit(read_result(file).epochs.as_fit_result(), fig, legend=name)
    assert fig is not None  # there is a file
    return fig, axes
