"""What this distribution offers: descriptors only, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Method, Reference

FAIRVISION_API = (1, 0)

QIU_2023 = Reference(
    title="Simple and Fast Group Robustness by Automatic Feature Reweighting",
    authors=("Shikai Qiu", "Andres Potapczynski", "Pavel Izmailov", "Andrew Gordon Wilson"),
    year=2023,
    venue="ICML",
    arxiv="2306.11074",
)


@hookimpl
def fairvision_postprocessing() -> Iterable[Method]:
    yield Method(
        "automatic-feature-reweighting",
        "fairvision_afr:AutomaticFeatureReweighting",
        "Train a net's last layer again on rows weighed by how unsure the net is of them.",
        reference=QIU_2023,
        presets={
            "quick": {},
            "paper": {
                "rows": "validation",
                "row_weights": "exponential",
                "gamma": (16.0, 8.0, 4.0, 2.0, 1.0),
                "min_effective": 0,
            },
        },
        claims=Claims(
            no_gain_reason="without groups, the weights of a few hundred rows are mostly chance"
        ),
    )
