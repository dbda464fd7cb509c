"""Methods by seeds on one data set: the main job.

The room is not called ``compare``: importing a subpackage of that name would
put it in the place of the function `fairvision.compare`.
"""

from fairvision.comparison.compare import compare
from fairvision.comparison.control import LABEL as CONTROL
from fairvision.comparison.data import read_data
from fairvision.comparison.execute import fit_run
from fairvision.comparison.facts import read_facts
from fairvision.comparison.result import Comparison
from fairvision.comparison.split import plan_split, split_rows
from fairvision.comparison.summary import MIN_SEEDS, over_seeds

__all__ = [
    "CONTROL",
    "MIN_SEEDS",
    "Comparison",
    "compare",
    "fit_run",
    "over_seeds",
    "plan_split",
    "read_data",
    "read_facts",
    "split_rows",
]
