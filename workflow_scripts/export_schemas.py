"""Write the JSON Schemas of the project's files to schemas/."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import use_checkout  # noqa: F401
from pydantic import BaseModel

from hw2core.config.json_schema import build_config_schema
from hw2core.config.study import CHECKOUT
from hw2core.runs.schema import Evaluation, Result

DIGEST = {
    "description": "sha256 of all other keys, as ASCII JSON with sorted keys and no spaces.",
    "type": "string",
}


def build_file_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of files that hold ``model``: every key is required, and a digest."""
    schema = model.model_json_schema(mode="serialization")
    properties = {"digest": DIGEST, **schema["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "properties": properties,
        "required": list(properties),
    }


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "config.schema.json": build_config_schema,
    "result.schema.json": partial(build_file_schema, Result),
    "evaluation.schema.json": partial(build_file_schema, Evaluation),
}


def main() -> None:
    """Write every schema of this checkout."""
    folder = CHECKOUT / "schemas"
    folder.mkdir(exist_ok=True)
    for name, build in SCHEMAS.items():
        (folder / name).write_text(json.dumps(build(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
