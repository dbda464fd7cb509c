"""What this distribution offers: descriptors only, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Method, Metric, Needs, Reference, ReportSection

FAIRVISION_API = (1, 0)

DE_CONINCK_2024 = Reference(
    title="Mitigating Bias Using Model-Agnostic Data Attribution",
    authors=("Sander De Coninck", "Sam Leroux", "Pieter Simoens"),
    year=2024,
    venue="CVPR Workshops",
    arxiv="2405.05031",
)
QUICK = {"attribution": {"max_epochs": 12}}
FIXED = {"attribution": {"max_epochs": 12, "deterministic": True}}
# Eyeglasses, the best of the paper's masks; pictures of 128 x 128.
PAPER = {
    "scope": "specific",
    "noise": "mask",
    "quantile": 0.6,
    "decorrelate": False,
    "attribution": {
        "backbone": "cifar-resnet18",
        "patch_size": 32,
        "grid": 49,
        "scan_grid": None,
        "patches_per_image": 1,
        "max_epochs": 90,
        "lr_drop": 40,
        "batch_size": 256,
    },
}


@hookimpl
def fairvision_preprocessing() -> Iterable[Method]:
    yield Method(
        "data-attribution",
        "fairvision_attribution:AttributionNoise",
        "Hides where a bias attribute can be seen, in training pictures only.",
        reference=DE_CONINCK_2024,
        needs=Needs(fit=True, pixels=True, place=True),
        claims=Claims(params=FIXED, disabled_params={"quantile": 1.0}),
        presets={"quick": QUICK, "paper": PAPER},
    )


@hookimpl
def fairvision_metrics() -> Iterable[Metric]:
    yield Metric(
        "class-accuracy-gap",
        "fairvision_attribution._algorithm:class_accuracy_gap",
        "How far apart the classes' accuracies are: the gap of the paper's Table 1.",
        reference=DE_CONINCK_2024,
        greater_is_better=False,
    )


@hookimpl
def fairvision_report_sections() -> Iterable[ReportSection]:
    yield ReportSection(
        "data-attribution-maps",
        "fairvision_attribution:attribution_figure",
        "Where the attribute was seen, and what was hidden",
        methods=("data-attribution",),
    )
