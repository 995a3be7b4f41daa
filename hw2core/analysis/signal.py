"""Measures the signal in the recorded layers: activations forward, error signal backward.

The gradient of a layer's weights is the product of the layer's input and the error signal that
reaches it. The recorded gradient divided by the recorded scale of the input is therefore the error
signal. With PyTorch's default initialisation it shrinks by sqrt(6) per layer on its way back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from hw2core.analysis.tables import Study, has_settings

# Var(W) = 1 / (3 fan-in) and a ReLU halves the second moment: the variance shrinks by 6 per layer.
THEORY = math.sqrt(6)
_ASSUMED: dict[str, Any] = {
    "architecture.initialization": "default",
    "architecture.batchnorm": False,
    "architecture.activation_type": "relu",
}
_KEYS = ["run", "seed"]


def follows_theory(runs: pd.DataFrame) -> bool:
    """Return whether ``THEORY`` holds for the plain networks in rows of ``Study.runs``.

    It assumes PyTorch's default initialisation, ReLU and no batch norm.
    """
    return has_settings(runs, _ASSUMED)


def measure_signal(study: Study, *experiments: str) -> pd.DataFrame:
    """Return the signal in each run before (``_start``) and after training (``_end``).

    There is one row per run and seed, as in ``Study.runs``, for the convolutions but those on
    shortcuts. It is not averaged over seeds: those that train and those that do not end in
    different states.

    - ``backward``: factor per layer by which the error signal shrinks on its way back, fitted over
      all layers;
    - ``last_activation``: standard deviation of the last convolution's output;
    - ``dead``: percentage of channels that are 0 on every image, in the last layer with a ReLU;
    - ``first_gradient``: root mean square gradient of the first convolution;
    - ``main_over_shortcut``: median gradient on the main path divided by the median gradient of the
      1x1 convolutions on the shortcuts.

    Runs without recorded layers or with fewer than three convolutions are left out.
    """
    layers = study.layers[study.layers["experiment"].isin(experiments)]
    epochs = layers.groupby(_KEYS)["epoch"]
    start, end = (
        _measure(layers[layers["epoch"] == epochs.transform(which)]) for which in ("min", "max")
    )
    both = start.add_suffix("_start").join(end.add_suffix("_end"))
    return study.runs.merge(both.dropna(subset="backward_start").reset_index(), on=_KEYS)


def _measure(layers: pd.DataFrame) -> pd.DataFrame:
    """Return a row per run and seed; ``layers`` has one recorded epoch of each."""
    convolutions = layers[layers["layer"].str.startswith("conv")]
    group = [convolutions[key] for key in _KEYS]
    by_run = convolutions.groupby(_KEYS, sort=False)
    signal = convolutions["gradient_norm"] / by_run["activation_std"].shift()
    logarithm = signal.where(signal > 0).transform(np.log)
    place = by_run.cumcount().where(logarithm.notna())
    x, y = (values - values.groupby(group).transform("mean") for values in (place, logarithm))
    slope = (x * y).groupby(group).sum() / (x**2).groupby(group).sum()
    diverged = convolutions["activation_std"].isna().groupby(group).any()
    shortcuts = layers[layers["layer"].str.startswith("proj")].groupby(_KEYS)["gradient_norm"]
    return pd.DataFrame(
        {
            "backward": np.exp(slope),
            # Not last(), which would be the last that is finite in a network that diverged.
            "last_activation": by_run.tail(1).set_index(_KEYS)["activation_std"],
            "dead": 100 * by_run["dead_fraction"].last().mask(diverged),  # of those with a ReLU
            "first_gradient": by_run["gradient_norm"].first(),
            "main_over_shortcut": by_run["gradient_norm"].median() / shortcuts.median(),
        }
    )
