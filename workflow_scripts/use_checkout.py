"""Makes scripts import hw2core from their own checkout, not from an installed copy."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
