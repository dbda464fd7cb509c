"""Recipes: a paper's experiment as one command, with the paper's table beside ours.

A recipe is a TOML file in the folder ``recipes`` of a plugin's package. Each of its blocks is
one call of `fairvision.compare`, with the same seeds, workers, resuming and report.
"""

from fairvision.recipes._blocks import Block, plan
from fairvision.recipes._figures import BlockResult, DrawnFigure
from fairvision.recipes._find import find_recipe, find_recipes
from fairvision.recipes._read import Recipe, read_recipe
from fairvision.recipes._reproduce import Reproduction, count_rows, reproduce

__all__ = [
    "Block",
    "BlockResult",
    "DrawnFigure",
    "Recipe",
    "Reproduction",
    "count_rows",
    "find_recipe",
    "find_recipes",
    "plan",
    "read_recipe",
    "reproduce",
]
