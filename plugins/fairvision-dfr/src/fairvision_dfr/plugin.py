"""What this distribution offers: descriptors only, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Method, Needs, Reference

FAIRVISION_API = (1, 0)

KIRICHENKO_2023 = Reference(
    title="Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations",
    authors=("Polina Kirichenko", "Pavel Izmailov", "Andrew Gordon Wilson"),
    year=2023,
    venue="ICLR",
    arxiv="2204.02937",
)


@hookimpl
def fairvision_postprocessing() -> Iterable[Method]:
    yield Method(
        "last-layer-retraining",
        "fairvision_dfr:LastLayerRetraining",
        "Train a net's last layer again on rows balanced over target and group.",
        reference=KIRICHENKO_2023,
        needs=Needs(fit=True, validation=True),
        presets={
            "quick": {"C": 0.1},
            "paper": {
                "penalty": "l1",
                "C": (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01),
                "rows": "validation",
                "allow_worse": True,
            },
        },
    )
