"""Builds the JSON Schema of config.yaml, which editors use to complete and check the file."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from hw2core.config.fields import EXPERIMENT_NAME, RUN_LABEL
from hw2core.config.images import DataSpec
from hw2core.config.networks import MODELS
from hw2core.config.schema import (
    ExperimentEntry,
    RecipeSpec,
    RunEntry,
    StudyEntry,
    StudyOptions,
)

Schema = dict[str, Any]
VARIED_DATA = ("train", "validation", "test", "split_seed")  # that runs of a study need not share


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, without a title for each field: it would only repeat the key."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def build_config_schema() -> Schema:
    """Return the JSON Schema of config.yaml.

    It checks each section by itself; ``load_study`` checks the merged runs. Therefore
    ``architecture`` has the keys of all models, and the keys of ``architecture`` and ``training``
    are optional, because another section may give them.
    """
    keys = _unite_architectures()
    section: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
    training, data = _describe(RecipeSpec, partial=True), _describe(DataSpec, partial=True)
    varied = {
        **keys,
        **{f"training.{key}": schema for key, schema in training["properties"].items()},
        **{f"data.{key}": data["properties"][key] for key in VARIED_DATA},
    }
    ends = {"type": "array", "minItems": 3, "maxItems": 3, "description": "First, last, number."}
    parts: dict[str, Schema] = {
        "log": {**section, "properties": {"log": ends}, "required": ["log"]},
        "model": {"enum": list(MODELS)},
        "architecture": {**section, "properties": keys},
        "grid": {**section, "properties": {k: _list_values(s) for k, s in varied.items()}},
        "training": training,
        "data": data,
        "run": _describe(RunEntry),
        "experiment": _describe(ExperimentEntry),
    }
    for entry in (parts["run"], parts["experiment"]):
        for key in ("model", "architecture", "training", "data"):
            _replace(entry, key, _refer(key))
    grids = {"anyOf": [_refer("grid"), {"type": "array", "items": _refer("grid")}]}
    _replace(parts["experiment"], "grid", grids)
    _replace(parts["experiment"], "runs", _describe_mapping(RUN_LABEL, "run"))
    study = _describe(StudyEntry)
    _replace(study, "data", _describe(DataSpec))
    _replace(study, "training", _refer("training"))
    _replace(study, "study", _describe(StudyOptions))
    experiments = {**_describe_mapping(EXPERIMENT_NAME, "experiment"), "minProperties": 1}
    _replace(study, "experiments", experiments)
    # Draft 7 is the newest that every editor supports.
    return {"$schema": "http://json-schema.org/draft-07/schema#", **study, "$defs": parts}


def _list_values(schema: Schema) -> Schema:
    """Return what a grid may have for a key: a list of values, or numbers of equal ratios."""
    return {"anyOf": [{"type": "array", "items": schema, "minItems": 1}, _refer("log")]}


def _unite_architectures() -> Schema:
    """Return the keys of all models' architectures; each description names the models."""
    owners: dict[tuple[str, str], list[str]] = {}  # key and its schema as text -> models
    for model, entry in MODELS.items():
        for key, schema in _describe(entry.architecture)["properties"].items():
            owners.setdefault((key, json.dumps(schema)), []).append(model)
    variants: dict[str, list[Schema]] = {}
    for (key, text), models in owners.items():
        schema = json.loads(text)
        schema["description"] = f"{', '.join(models)}: {schema['description']}"
        variants.setdefault(key, []).append(schema)
    return {key: s[0] if len(s) == 1 else {"anyOf": s} for key, s in variants.items()}


def _describe_mapping(pattern: str, part: str) -> Schema:
    """Return a mapping of names that match ``pattern`` to ``part``."""
    names = {"pattern": f"^{pattern}$"}
    return {"type": "object", "propertyNames": names, "additionalProperties": _refer(part)}


def _describe(model: type[BaseModel], partial: bool = False) -> Schema:
    """Return pydantic's schema of ``model``, without required keys if ``partial``."""
    schema = model.model_json_schema(schema_generator=_Generator)
    left_out = {"title", "$defs", *(["required"] if partial else [])}
    return {key: value for key, value in schema.items() if key not in left_out}


def _refer(part: str) -> Schema:
    return {"$ref": f"#/$defs/{part}"}


def _replace(entry: Schema, key: str, schema: Schema) -> None:
    """Replace the schema of ``key``, but keep its description."""
    description = entry["properties"][key]["description"]
    entry["properties"][key] = {**schema, "description": description}
