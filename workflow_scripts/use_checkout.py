"""Makes scripts import hw2core from their own checkout, not from an installed copy."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
# A backend that a notebook has set may not be installed here. Scripts write files only.
os.environ["MPLBACKEND"] = "agg"
