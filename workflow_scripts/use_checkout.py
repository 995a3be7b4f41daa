"""Makes scripts import hw2core from their own checkout, and end on Ctrl-C without a traceback.

They print what the terminal cannot show, such as a letter in a file name, as an escape.
"""

import io
import os
import sys
from pathlib import Path
from types import TracebackType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# A backend that a notebook has set may not be installed here. Scripts write files only.
os.environ["MPLBACKEND"] = "agg"
# Those of runs.environment.OVERRIDES. OpenMP has to start as many threads as a run asks for: torch
# would wait for the others forever. And fp32 is not TF32, and MKL is the same in all runs.
for name in (
    "OMP_THREAD_LIMIT",
    "OMP_DYNAMIC",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
):
    os.environ.pop(name, None)
if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is


def show_error(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Show an error that ends the script; Ctrl-C is none, and may come during the imports."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = show_error
