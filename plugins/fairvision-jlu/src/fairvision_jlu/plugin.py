"""What this distribution offers: descriptors only, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Method, Needs, Reference

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
    )
