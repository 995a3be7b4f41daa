"""Checks before a training that its result can be written, and all it depends on be recorded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter, ValidationError

from hw2core.config.errors import describe_errors
from hw2core.config.schema import RecipeSpec
from hw2core.errors import UserError
from hw2core.runs.code_hash import hash_run_code
from hw2core.runs.values import WORD_SIGNS, Config

if TYPE_CHECKING:
    from hw2core.config.spec import RunSpec

ALLOWED = f"only {WORD_SIGNS} are allowed in a text"
_CONFIG: TypeAdapter[Config] = TypeAdapter(Config)


def check_recordable(spec: RunSpec) -> None:
    """Check that a result can hold the settings of a run and the names of its modules.

    Of the recipe, results record the keys, and code hashes do not cover what its class computes.

    Raises:
        UserError: names the run, and the key and its value, or the module; or what the class of
            the recipe computes.
    """
    public = {name for name in dir(RecipeSpec) if not name.startswith("_")}
    if computed := sorted(public - {*dir(BaseModel), *RecipeSpec.model_fields}):
        raise UserError(
            f"hw2core/config/schema.py: RecipeSpec.{computed[0]}: edits of it would not be "
            "noticed; compute it in hw2core/engine, or begin the name of a validator with _"
        )
    try:
        _CONFIG.validate_python(spec.describe(0))
    except ValidationError as error:
        problem = "; ".join(describe_errors(error))
        raise UserError(
            f"{spec.name}: {problem}; {ALLOWED}, and at most 100 of them, or of numbers, in a list"
        ) from None
    for module in hash_run_code(spec):
        if not re.fullmatch(f"[{WORD_SIGNS}]{{1,300}}", module):
            raise UserError(f"{spec.name}: {module}: rename this module; {ALLOWED}")
