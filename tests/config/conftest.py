from __future__ import annotations

import json
from collections.abc import Callable

import jsonschema
import pytest
import yaml

from hw2core.config.errors import ConfigError
from hw2core.config.json_schema import build_config_schema
from hw2core.config.reading import read_config, read_configs
from hw2core.config.spec import RunSpec
from hw2core.config.study import STUDY_FILE, load_study


@pytest.fixture
def config() -> dict:
    return read_config(STUDY_FILE)


@pytest.fixture
def small() -> dict:
    """One experiment with one run."""
    return yaml.safe_load("""
data: {name: generated, source_train: 100, source_test: 50, train: 60, validation: 20, test: 50}
training: {epochs: 1, batch_size: 10, optimizer: sgd, lr: 0.1, weight_decay: 0, schedule: constant}
seeds: [0]
experiments:
  one:
    question: "?"
    varies: nothing
    fixed: all
    model: cnn
    architecture: {hidden_dims: [], pool_every: 2}
    grid: {filters_per_layer: [[8]], layers_per_block: [2]}
""")


@pytest.fixture
def change(small, tmp_path) -> Callable[[str], dict]:
    """Returns the small configuration with a YAML text merged into it."""

    def change(text: str) -> dict:
        (tmp_path / "below.yaml").write_text(yaml.safe_dump(small, sort_keys=False))
        (tmp_path / "above.yaml").write_text(text)
        return read_configs([tmp_path / "below.yaml", tmp_path / "above.yaml"])

    return change


@pytest.fixture
def load(change) -> Callable[..., list[RunSpec]]:
    """Returns the runs of the small study with a YAML text merged into it."""
    return lambda text="{}": list(load_study(change(text)).runs.values())


@pytest.fixture
def refuse(change) -> Callable[..., list[str]]:
    """Returns the lines about the small study with a YAML text merged into it."""

    def refuse(text: str = "{}") -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_study(change(text))
        return [line.removeprefix("config.yaml: ") for line in caught.value.lines]

    return refuse


@pytest.fixture(scope="session")
def find_errors() -> Callable[[dict], list[str]]:
    """Returns the places of the errors that an editor finds in a configuration."""
    schema = build_config_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)

    def find_errors(config: dict) -> list[str]:
        plain = json.loads(json.dumps(config))  # every key is text
        return [error.json_path for error in validator.iter_errors(plain)]

    return find_errors
