"""A paper's experiment as one command: a fixed plan of comparisons, and the paper's table.

A recipe is a TOML file in the folder ``recipes`` of a plugin's package. What it
plans is done by `fairvision.compare`, so seeds, workers, resuming and the report
are the same.
"""

from fairvision.recipes._figures import Drawn, Shown
from fairvision.recipes._find import find_recipe, find_recipes
from fairvision.recipes._plan import Block, plan
from fairvision.recipes._read import Recipe, read_recipe
from fairvision.recipes._run import Reproduction, count_rows, reproduce

__all__ = [
    "Block",
    "Drawn",
    "Recipe",
    "Reproduction",
    "Shown",
    "count_rows",
    "find_recipe",
    "find_recipes",
    "plan",
    "read_recipe",
    "reproduce",
]
