"""Builds the JSON Schema of config.yaml, which editors use to complete and check the file."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from hw2core.config.fields import EXPERIMENT_NAME, RUN_LABEL
from hw2core.config.images import DataSpec
from hw2core.config.networks import MODELS
from hw2core.config.schema import RecipeSpec, StudyEntry

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
    study = _describe(StudyEntry)
    parts: dict[str, Schema] = study.pop("$defs")
    keys = _unite_architectures()
    training, data = _describe(RecipeSpec), _describe(DataSpec)
    _replace(study, "data", dict(data))
    del training["required"], data["required"]
    varied = {
        **keys,
        **{f"training.{key}": schema for key, schema in training["properties"].items()},
        **{f"data.{key}": data["properties"][key] for key in VARIED_DATA},
    }
    section: Schema = {"type": "object", "additionalProperties": False}
    ends = {"type": "array", "minItems": 3, "maxItems": 3, "description": "First, last, number."}
    parts |= {
        "log": {**section, "properties": {"log": ends}, "required": ["log"]},
        "model": {"enum": list(MODELS)},
        "architecture": {**section, "properties": keys},
        "grid": {**section, "properties": {k: _list_values(s) for k, s in varied.items()}},
        "training": training,
        "data": data,
    }
    run, experiment = parts["RunEntry"], parts["ExperimentEntry"]
    for key in ("model", "architecture", "training", "data"):
        _replace(run, key, _refer(key))
        _replace(experiment, key, _refer(key))
    grids = {"anyOf": [_refer("grid"), {"type": "array", "items": _refer("grid")}]}
    _replace(experiment, "grid", grids)
    _replace(study, "training", _refer("training"))
    experiment["properties"]["runs"]["propertyNames"] = {"pattern": f"^{RUN_LABEL}$"}
    study["properties"]["experiments"]["propertyNames"] = {"pattern": f"^{EXPERIMENT_NAME}$"}
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


def _describe(model: type[BaseModel]) -> Schema:
    """Return pydantic's schema of ``model``, without titles."""
    schema = model.model_json_schema(schema_generator=_Generator)
    for part in (schema, *schema.get("$defs", {}).values()):
        del part["title"]
    return schema


def _refer(part: str) -> Schema:
    return {"$ref": f"#/$defs/{part}"}


def _replace(entry: Schema, key: str, schema: Schema) -> None:
    """Replace the schema of ``key``, but keep its description."""
    description = entry["properties"][key]["description"]
    entry["properties"][key] = {**schema, "description": description}
