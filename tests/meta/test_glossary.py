"""The glossary explains every public parameter, and is in alphabetical order."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import fairvision as fv
from fairvision import datasets
from fairvision.datasets import biased_split
from fairvision.metrics import evaluate_predictions
from fairvision.nn import FeatureExtractor, TrainingCheckpoint

FUNCTIONS = (
    fv.compare,
    fv.data_card,
    fv.evaluate,
    fv.fit,
    fv.ImageModel,
    fv.make,
    fv.Resampled,
    evaluate_predictions,
    biased_split,
    FeatureExtractor,
    TrainingCheckpoint,
    *(getattr(datasets, name) for name in datasets.__all__ if name.startswith("load_")),
)


def entries(root: Path, section: str) -> list[str]:
    text = (root / "docs/glossary.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    listed = [line for line in text.splitlines() if line.startswith("- ")]
    found = [
        re.fullmatch(r"- (?:`|\*\*)([^`*]+)(?:`|\*\*): [A-Z\"0-9].*\.", line) for line in listed
    ]
    assert all(found), "write each entry as a name, a colon and one sentence"
    return [match[1] for match in found if match]


@pytest.mark.parametrize("section", ["Words", "Parameters"])
def test_entries_are_in_alphabetical_order(root: Path, section: str) -> None:
    names = entries(root, section)
    assert len(set(names)) == len(names) > 50
    assert names == sorted(names, key=lambda name: (name.lower(), name))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_parameter_of_a_function_is_explained(root: Path, function: object) -> None:
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    assert sorted(set(parameters) - set(entries(root, "Parameters"))) == []


@pytest.mark.parametrize(
    ("module", "name"),
    [("fairvision_attribution", "RegionClassifier"), ("fairvision_latent", "ProgressiveGAN")],
)
def test_every_parameter_of_a_plugin_s_estimator_is_explained(
    root: Path, module: str, name: str
) -> None:
    parameters = getattr(pytest.importorskip(module), name)().get_params(deep=False)
    assert sorted(set(parameters) - set(entries(root, "Parameters"))) == []


@pytest.mark.parametrize("name", [method.name for method in fv.methods()])
def test_every_parameter_of_a_method_is_explained(root: Path, name: str) -> None:
    parameters = fv.make(name).get_params(deep=False)
    assert sorted(set(parameters) - set(entries(root, "Parameters"))) == []
