"""Makes scripts import hw2core from the checkout that they are in, whatever is installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
