"""Make the benchmark's modules importable: they are a program of their own, not a part of the package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
