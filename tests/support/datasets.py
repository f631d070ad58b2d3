"""Where data sets lie that are no part of the project: beside it, or where ROBUSTAGG_TEST_DATA says."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("ROBUSTAGG_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
NO_DATA = "needs data sets in ../shared/data, or in the folder ROBUSTAGG_TEST_DATA"
