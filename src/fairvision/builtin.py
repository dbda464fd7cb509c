"""fairvision's own plugin: what the host itself offers, through everyone's door."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Dataset, Method, Needs, Reference

FAIRVISION_API = (1, 0)

KAMIRAN_2012 = Reference(
    title="Data preprocessing techniques for classification without discrimination",
    authors=("Faisal Kamiran", "Toon Calders"),
    year=2012,
    venue="Knowledge and Information Systems",
    doi="10.1007/s10115-011-0463-8",
)
AGARWAL_2018 = Reference(
    title="A Reductions Approach to Fair Classification",
    authors=(
        "Alekh Agarwal",
        "Alina Beygelzimer",
        "Miroslav Dudík",
        "John Langford",
        "Hanna Wallach",
    ),
    year=2018,
    venue="ICML",
    arxiv="1803.02453",
)
HARDT_2016 = Reference(
    title="Equality of Opportunity in Supervised Learning",
    authors=("Moritz Hardt", "Eric Price", "Nathan Srebro"),
    year=2016,
    venue="NeurIPS",
    arxiv="1610.02413",
)


@hookimpl
def fairvision_preprocessing() -> Iterable[Method]:
    yield Method(
        "reweighing",
        "fairvision.toolkits:Reweighing",
        "Weights that make target and group independent (aif360).",
        reference=KAMIRAN_2012,
        needs=Needs(fit=True),
    )
    yield Method(
        "balanced-sampling",
        "fairvision.toolkits:BalancedSampling",
        "As many rows of each target and group (imbalanced-learn).",
        needs=Needs(fit=True),
    )


@hookimpl
def fairvision_inprocessing() -> Iterable[Method]:
    yield Method(
        "erm",
        "fairvision.nn:TorchClassifier",
        "Plain training (empirical risk minimisation): the baseline.",
        needs=Needs(),
        claims=Claims(disabled_params={}, no_gain_reason="it is the baseline"),
        presets={"quick": {"max_epochs": 8}, "paper": {"backbone": "resnet18", "max_epochs": 20}},
    )
    yield Method(
        "exponentiated-gradient",
        "fairvision.toolkits:ExponentiatedGradientClassifier",
        "A mixture of classifiers trained on reweighted rows (fairlearn).",
        reference=AGARWAL_2018,
        needs=Needs(fit=True),
        targets=("binary",),
        claims=Claims(
            params={"max_iter": 2},
            no_gain_reason="it bounds a gap between groups; the worst cell may pay for it",
            exceptions={
                "has_features": "a mixture of nets has no features of its own",
                "takes_sample_weight": "the weights are what it searches",
            },
        ),
    )


@hookimpl
def fairvision_postprocessing() -> Iterable[Method]:
    yield Method(
        "threshold-optimizer",
        "fairvision.toolkits:ThresholdOptimizedClassifier",
        "A threshold for each group, which it must be told at predict (fairlearn).",
        reference=HARDT_2016,
        needs=Needs(validation=True, predict=True),
        targets=("binary",),
        claims=Claims(
            no_gain_reason="it equalises rates between groups; the worst cell may pay for it"
        ),
    )


@hookimpl
def fairvision_datasets() -> Iterable[Dataset]:
    yield Dataset("faces", "fairvision.datasets:load_faces", "Drawn faces with known attributes.")
    yield Dataset("digits", "fairvision.datasets:load_digits", "Scanned digits, coloured.")
    yield Dataset(
        "utkface",
        "fairvision.datasets:load_utkface",
        "UTKFace photographs: age, perceived gender and race in the file name.",
        local=True,
    )
    yield Dataset(
        "celeba",
        "fairvision.datasets:load_celeba",
        "CelebA photographs: forty attributes, perceived gender among them.",
        local=True,
    )
    yield Dataset(
        "fairface",
        "fairvision.datasets:load_fairface",
        "FairFace photographs: perceived race, gender and age, balanced over race.",
        local=True,
    )
    yield Dataset(
        "lfw",
        "fairvision.datasets:load_lfw",
        "Labeled Faces in the Wild: 73 attributes, scored by classifiers.",
        local=True,
    )
    yield Dataset(
        "ppb",
        "fairvision.datasets:load_ppb",
        "Pilot Parliaments Benchmark, or a folder like it: gender, Fitzpatrick type.",
        local=True,
    )
    yield Dataset(
        "folder",
        "fairvision.datasets:load_folder",
        "Any images, with a CSV that names path, target and sensitive columns.",
        local=True,
    )
