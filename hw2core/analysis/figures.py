"""Every figure of the study: documents' tables in, a matplotlib figure out."""

from hw2core.analysis.accuracy import plot_accuracy
from hw2core.analysis.curves import plot_curves
from hw2core.analysis.drawing import save_figure

__all__ = ["plot_accuracy", "plot_curves", "save_figure"]
