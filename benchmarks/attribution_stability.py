"""How alike are the mean maps of five trainings? ``python benchmarks/attribution_stability.py``.

The data and rows of the recipe ``attribution-maps``, of photographs with ``--root DIR``. Prints the
correlation of the maps of each two seeds. ``--cache OUT/regions`` takes the nets of a recipe's run.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from fairvision.comparison import split_rows
from fairvision.datasets import load
from fairvision.recipes import find_recipe, plan
from fairvision_attribution import RegionClassifier
from fairvision_attribution.recipes.prepare import few_in_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root")
    parser.add_argument("--cache")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    name = "faces" if args.root is None else "utkface"
    for block in plan(find_recipe("attribution-maps"), name, "small", root=args.root):
        data = load(name, **block.load)
        if name == "utkface":
            data = few_in_memory(data)
        maps = []
        for seed in range(args.seeds):
            train, _ = split_rows(data, {"by": "random", "test_size": 0.3}, seed)
            regions = RegionClassifier(max_epochs=12, cache=args.cache, random_state=seed)
            regions.fit(data.images[train], data.sensitive_features.iloc[train, 0])
            maps.append(regions.mean_map_.ravel())
        found = np.corrcoef(maps)[np.triu_indices(len(maps), 1)]
        print(f"{block.name}: {found.mean():.2f}, from {found.min():.2f} to {found.max():.2f}")


if __name__ == "__main__":
    main()
