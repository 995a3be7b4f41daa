"""Keys of older configurations: brings the config of an old result up to date."""

from __future__ import annotations

from typing import Any

# (section, key): the only value at which the key made no difference.
RETIRED: dict[tuple[str, str], object] = {("training", "clip_norm"): None}
RENAMED = {("data", "pool"): "source_train", ("data", "test_pool"): "source_test"}


def upgrade_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a result's ``config`` with the keys of today; ``config`` itself is not changed.

    A retired key that made a difference stays, so that ``RunSpec.from_config`` refuses it.
    """
    upgraded = dict(config)
    for section, values in config.items():
        if isinstance(values, dict):
            upgraded[section] = {
                RENAMED.get((section, key), key): value
                for key, value in values.items()
                if ((section, key), value) not in RETIRED.items()
            }
    return upgraded
