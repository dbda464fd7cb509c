"""Methods by seeds on one data set: the main job.

The room is not called ``compare``: importing a subpackage of that name would
put it in the place of the function `fairvision.compare`.
"""

from fairvision.comparison.compare import compare
from fairvision.comparison.facts import read_facts
from fairvision.comparison.result import Comparison
from fairvision.comparison.summary import MIN_SEEDS

__all__ = ["MIN_SEEDS", "Comparison", "compare", "read_facts"]
