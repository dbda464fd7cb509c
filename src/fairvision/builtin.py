"""fairvision's own plugin: the methods and data sets of the host, offered by the same hooks."""

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
        "Plain training (empirical risk minimization): the ERM baseline.",
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
            no_gain_reason="it bounds a gap between groups; the worst cell may get worse",
            exceptions={
                "has_features": "a mixture of nets has no features of its own",
                "takes_sample_weight": "it searches for the weights",
            },
        ),
    )


@hookimpl
def fairvision_postprocessing() -> Iterable[Method]:
    yield Method(
        "threshold-optimizer",
        "fairvision.toolkits:ThresholdOptimizedClassifier",
        "A threshold for each group; predict needs the groups (fairlearn).",
        reference=HARDT_2016,
        needs=Needs(validation=True, predict=True),
        targets=("binary",),
        claims=Claims(
            no_gain_reason="it equalizes rates between groups; the worst cell may get worse"
        ),
    )


_FOLDERS = {
    "utkface": "UTKFace photographs: age, perceived gender and race in the file name.",
    "celeba": "CelebA photographs: forty attributes, perceived gender among them.",
    "fairface": "FairFace photographs: perceived race, gender and age, balanced over race.",
    "lfw": "Labeled Faces in the Wild: 73 attributes, scored by classifiers.",
    "ppb": "Pilot Parliaments Benchmark, or a folder like it: gender, Fitzpatrick type.",
    "folder": "Any images, with a CSV that names path, target and sensitive columns.",
}


@hookimpl
def fairvision_datasets() -> Iterable[Dataset]:
    yield Dataset("faces", "fairvision.datasets:load_faces", "Drawn faces with known attributes.")
    yield Dataset("digits", "fairvision.datasets:load_digits", "Scanned digits, coloured.")
    for name, summary in _FOLDERS.items():
        yield Dataset(name, f"fairvision.datasets:load_{name}", summary, local=True)
