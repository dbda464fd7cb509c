"""What this distribution offers: descriptors only, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Method, Metric, Needs, Reference

FAIRVISION_API = (1, 0)

ALVI_2018 = Reference(
    title=(
        "Turning a Blind Eye: Explicit Removal of Biases and Variation from Deep Neural "
        "Network Embeddings"
    ),
    authors=("Mohsan Alvi", "Andrew Zisserman", "Christoffer Nellåker"),
    year=2018,
    venue="ECCV Workshops",
    arxiv="1809.02169",
)


@hookimpl
def fairvision_inprocessing() -> Iterable[Method]:
    yield Method(
        "jlu",
        "fairvision_jlu:JLUClassifier",
        "Joint learning and unlearning: features from which a head cannot tell the group.",
        reference=ALVI_2018,
        needs=Needs(fit=True),
        claims=Claims(disabled_params={"alpha": 0}),
        presets={
            "quick": {"max_epochs": 8},
            # On photographs: a pretrained net of which the last blocks unlearn, slowly.
            "pretrained": {
                "backbone": "mobilenet_v2",
                "weights": "DEFAULT",
                "trainable": "last:2",
                "lr": 1e-3,
                "trunk_lr": 1e-4,
                "alpha": 3.0,
                "max_epochs": 10,
            },
            # The report's net and optimiser; Alvi et al. train a VGG-M on 224 x 224 instead.
            "paper": {
                "backbone": "fairvision_jlu._networks:report_cnn",
                "optimizer": "adam",
                "lr": 1e-3,
                "batch_size": 32,
                "alpha": 1.0,
                "warmup": 0.0,
                "ramp": 0.0,
                "head_solver": "adam",
                "head_lr": 1e-3,
                "head_steps": 10,
                "head_memory": 1,
                "standardize": False,
                "decorrelate": False,
                "class_weight": None,
            },
        },
    )


@hookimpl
def fairvision_metrics() -> Iterable[Metric]:
    for extreme, group, other in ((1, "first", "last"), (2, "last", "first")):
        yield Metric(
            f"extreme-{extreme}-accuracy",
            f"fairvision_jlu._metrics:extreme_{extreme}_accuracy",
            f"Accuracy where the first class meets the {group} group, or the last the {other}.",
            reference=ALVI_2018,
        )
