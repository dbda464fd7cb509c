"""The two biased data sets of the latent-space evidence, cut once: train, validation, test."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from fairvision.datasets import biased_split, load_faces, load_utkface

#: Share of the training rows in which the protected attribute goes with the target.
CONFOUNDING = {"faces": 0.9, "utkface": 0.8}
ROWS = {"faces": (5000, 2000), "utkface": (2000, 800)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=tuple(CONFOUNDING), default="faces")
    parser.add_argument("--root", default=os.environ.get("FAIRVISION_UTKFACE"))


def load(name: str, root: str | None = None) -> Bunch:
    """Images, targets and protected attribute (both 0 or 1) of each part.

    Training and validation rows are biased alike; test rows are as many in every cell.
    """
    n_train, n_test = ROWS[name]
    if name == "faces":
        data = load_faces(12_000, 32, target="eyeglasses", sensitive="hat", random_state=0)
        confounder: Any = "hat"
    else:
        if not root:
            raise SystemExit("pass --root, or set FAIRVISION_UTKFACE")
        data = load_utkface(root, target="old", sensitive="gender", image_size=32)
        confounder = "gender=male"
    split = biased_split(
        data,
        confounder=confounder,
        confounding=CONFOUNDING[name],
        n_train=n_train,
        n_test=n_test,
        random_state=0,
    )
    cells = 2 * split.target + split.confounder
    train, val = train_test_split(
        split.train, test_size=0.2, stratify=cells[split.train], random_state=0
    )
    return Bunch(
        **{
            part: (np.asarray(data.images[rows]), split.target[rows], split.confounder[rows])
            for part, rows in (("train", train), ("val", val), ("test", split.test))
        }
    )
