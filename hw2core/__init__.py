"""hw2core: the library of the study, independent of Snakemake.

``load_network`` returns a network that a run trained. Submodules are imported when first used
(``import hw2core as hw2; hw2.layers``), so that a training job does not import the plotting code.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw2core.trained import load_network as load_network

# Read by runs.imports: the code hash of a run covers such a module only if the run uses the name.
_MODULE_OF = {"load_network": "trained"}


def __getattr__(name: str) -> Any:
    """Import the submodule ``name``, or the one that has this function, on first access."""
    module = f"{__name__}.{_MODULE_OF.get(name, name)}"
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(found, name) if name in _MODULE_OF else found


def __dir__() -> list[str]:
    submodules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted({*globals(), *_MODULE_OF, *submodules})
