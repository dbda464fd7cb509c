"""fairvision's own plugin: what the host itself offers, through everyone's door."""

from __future__ import annotations

from collections.abc import Iterable

from fairvision.hookspecs import hookimpl
from fairvision.types import Dataset, Method, Needs

FAIRVISION_API = (1, 0)


@hookimpl
def fairvision_inprocessing() -> Iterable[Method]:
    yield Method(
        "erm",
        "fairvision.nn:TorchClassifier",
        "Plain training (empirical risk minimisation): the baseline.",
        needs=Needs(),
        presets={"quick": {"max_epochs": 8}, "paper": {"backbone": "resnet18", "max_epochs": 20}},
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
        "folder",
        "fairvision.datasets:load_folder",
        "Any images, with a CSV that names path, target and sensitive columns.",
        local=True,
    )
