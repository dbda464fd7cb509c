"""Methods by seeds on one data set: the main job.

The room is not called ``compare``: importing a subpackage of that name would
put it in the place of the function `fairvision.compare`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairvision.comparison.api import compare
    from fairvision.comparison.balanced_baseline import LABEL as BALANCED_BASELINE
    from fairvision.comparison.data import read_data
    from fairvision.comparison.report_data import read_report_data
    from fairvision.comparison.result import Comparison
    from fairvision.comparison.run_method import fit_run
    from fairvision.comparison.split import plan_split, split_rows
    from fairvision.comparison.summary import MIN_SEEDS, over_seeds

# Imported at first use: reading a folder for a report needs no torch.
_HOME = {
    "BALANCED_BASELINE": "balanced_baseline:LABEL",
    "Comparison": "result:Comparison",
    "MIN_SEEDS": "summary:MIN_SEEDS",
    "compare": "api:compare",
    "fit_run": "run_method:fit_run",
    "over_seeds": "summary:over_seeds",
    "plan_split": "split:plan_split",
    "read_data": "data:read_data",
    "read_report_data": "report_data:read_report_data",
    "split_rows": "split:split_rows",
}

__all__ = [
    "BALANCED_BASELINE",
    "MIN_SEEDS",
    "Comparison",
    "compare",
    "fit_run",
    "over_seeds",
    "plan_split",
    "read_data",
    "read_report_data",
    "split_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fairvision.comparison' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(f"fairvision.comparison.{module}"), attribute)
