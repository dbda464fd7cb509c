"""What this distribution offers: descriptors only, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Method, Needs, Reference, ReportSection

FAIRVISION_API = (1, 0)

RAMASWAMY_2021 = Reference(
    title="Fair Attribute Classification through Latent Space De-biasing",
    authors=("Vikram V. Ramaswamy", "Sunnie S. Y. Kim", "Olga Russakovsky"),
    year=2021,
    venue="CVPR",
    arxiv="2012.01469",
)
# `fairvision compare` takes "quick" where nothing is said, so it must not cost minutes; its GAN
# is a blur. "minutes" names the ten minutes on a CPU that a GAN for 32 x 32 wants at least.
QUICK = {"generator": "demo"}
MINUTES = {"generator": "quick"}
# On features of a pretrained net: pairs of the real rows, along their principal components.
# Chosen on CelebA, UTKFace and HAM10000, on other splits than those in photographs-measured.md.
PRETRAINED = {"generator": "components", "latents": "encoded", "reweigh_labels": True, "C": 1e-4}
PAPER = {"generator": "paper", "n_hyperplane": 15_000, "n_pairs": 160_000}


@hookimpl
def fairvision_preprocessing() -> Iterable[Method]:
    yield Method(
        "latent-debiasing",
        "fairvision_latent:LatentPairSampler",
        "Adds generated pairs that share the target and differ in the protected attribute.",
        reference=RAMASWAMY_2021,
        needs=Needs(fit=True, pixels=True, pixels_except=("pretrained",)),
        targets=("binary",),
        groups=("binary",),
        claims=Claims(
            params="fairvision_latent._small:small",
            no_gain_reason="a GAN trained for seconds draws nothing that a net could learn from",
        ),
        presets={
            "quick": QUICK,
            "minutes": MINUTES,
            "pretrained": PRETRAINED,
            "paper": PAPER,
        },
    )


@hookimpl
def fairvision_report_sections() -> Iterable[ReportSection]:
    yield ReportSection(
        "latent-debiasing-pairs",
        "fairvision_latent:pairs_figure",
        "Generated pairs, and what they do to the joint table",
        methods=("latent-debiasing",),
    )
