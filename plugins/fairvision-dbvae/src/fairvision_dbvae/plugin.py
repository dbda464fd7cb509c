"""What this distribution offers: descriptors only, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Dataset, Method, Needs, Reference, ReportSection

FAIRVISION_API = (1, 0)

AMINI_2019 = Reference(
    title="Uncovering and Mitigating Algorithmic Bias through Learned Latent Structure",
    authors=(
        "Alexander Amini",
        "Ava P. Soleimany",
        "Wilko Schwarting",
        "Sangeeta N. Bhatia",
        "Daniela Rus",
    ),
    year=2019,
    venue="AIES",
    doi="10.1145/3306618.3314243",
)
QUICK = {"max_epochs": 8}
# What the authors' code does, where the paper's own product would draw a handful of images.
PAPER = {
    "backbone": "fairvision_dbvae:lab_encoder",
    "n_latents": 100,
    "alpha": 0.001,
    "aggregate": "max",
    "min_effective": 0.0,
    "kl_weight": 5e-4,
    "decoder_filters": (72, 48, 24, 12),
    "optimizer": "adam",
    "lr": 5e-4,
    "batch_size": 32,
    "max_epochs": 6,
}


@hookimpl
def fairvision_inprocessing() -> Iterable[Method]:
    yield Method(
        "db-vae",
        "fairvision_dbvae:DBVAEClassifier",
        "Debiasing VAE: images with rare learned features are drawn more often. No group labels.",
        reference=AMINI_2019,
        needs=Needs(pixels=True),
        claims=Claims(
            no_gain_reason="it shows what is rare among the latents of some thousand images more "
            "often; 600 images and seconds of training do not reach that"
        ),
        presets={"quick": QUICK, "paper": PAPER},
    )


@hookimpl
def fairvision_datasets() -> Iterable[Dataset]:
    yield Dataset(
        "face-or-not",
        "fairvision_dbvae:load_face_or_not",
        "Faces of CelebA and pictures without one to train on, PPB's whole pictures to test on.",
        local=True,
    )


@hookimpl
def fairvision_report_sections() -> Iterable[ReportSection]:
    yield ReportSection(
        "db-vae-latents",
        "fairvision_dbvae:latents_figure",
        "What the DB-VAE learned, and whom it drew",
        methods=("db-vae",),
    )
