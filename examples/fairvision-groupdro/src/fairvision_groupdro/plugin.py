"""What this distribution offers: descriptors only, so that listing it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Method, Needs, Reference

FAIRVISION_API = (1, 0)

SAGAWA_2020 = Reference(
    title=(
        "Distributionally Robust Neural Networks for Group Shifts: On the Importance of "
        "Regularization for Worst-Case Generalization"
    ),
    authors=("Shiori Sagawa", "Pang Wei Koh", "Tatsunori B. Hashimoto", "Percy Liang"),
    year=2020,
    venue="ICLR",
    arxiv="1911.08731",
)
# Its own step size; but each row once an epoch. In nets as small as those that a CPU trains in
# seconds, drawing the rows of small cells again and again has them learned by heart.
QUICK = {"eta": 0.01, "balanced": False}


@hookimpl
def fairvision_inprocessing() -> Iterable[Method]:
    """Offer the method; its stage is the hook that answers."""
    yield Method(
        "group-dro",
        "fairvision_groupdro:GroupDROClassifier",
        "Trains for the worst cell of target and group (group DRO).",
        reference=SAGAWA_2020,
        needs=Needs(fit=True),
        claims=Claims(
            params=QUICK,
            exceptions={
                "sklearn:check_class_weight_classifiers": (
                    "The loss of a cell is a mean over its rows, which all are of one class."
                )
            },
        ),
        presets={
            "quick": {"max_epochs": 8, **QUICK},
            # A ResNet-50 that starts from ImageNet; 300 epochs of SGD on Waterbirds.
            "paper": {
                "backbone": "resnet50",
                "weights": "DEFAULT",
                "optimizer": "sgd",
                "lr": 1e-5,
                "weight_decay": 1.0,
                "batch_size": 128,
                "max_epochs": 300,
                "eta": 0.01,
            },
        },
    )
