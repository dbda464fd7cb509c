"""The plan of a comparison, as plain data: written to disk, compared, resumed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairvision.comparison.serialization import plain

__all__ = ["ON_FEATURES", "PLAIN_TRAINING", "MethodPlan", "Plan", "versions"]

PLAIN_TRAINING = "fairvision:erm"
#: What methods train on the features of a pretrained net, unless they are told another net.
ON_FEATURES: Mapping[str, Any] = {"backbone": "linear"}


@dataclass(frozen=True)
class MethodPlan:
    """One method of a comparison.

    Parameters
    ----------
    label : str
        Its row in the table.
    name : str
        ``distribution:name`` of a registered method, else ``module.Class``.
    stage : {"pre", "in", "post"}
    version : str
        Of the distribution.
    preset : str or None
    params : mapping
        On top of the preset; all parameters of an estimator that was passed.
    code : str
        A hash of the source beside the class; empty if there is none to read.
    groups_seen : str
        When the method reads group labels, in words.
    groups_at_fit : bool
        False for a method that declares to read no group of training or validation
        rows: `fit` is then not given any.
    groups_at_predict : bool
    balanced : bool
        Trained on rows without the bias: the balanced baseline.
    model : MethodPlan or None
        The ERM classifier inside a sampler or a meta-estimator.
    estimator : estimator or None
        The unfitted estimator that was passed in place of a name.
    """

    label: str
    name: str
    stage: str
    version: str
    preset: str | None
    params: Mapping[str, Any]
    code: str = ""
    groups_seen: str = "never"
    groups_at_fit: bool = True
    groups_at_predict: bool = False
    balanced: bool = False
    model: MethodPlan | None = None
    estimator: Any = None

    @property
    def is_registered(self) -> bool:
        """Whether the registry knows it."""
        return ":" in self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        model = None if self.model is None else self.model.to_dict()
        return plain({**vars(self), "model": model, "estimator": self.estimator is not None})


@dataclass(frozen=True)
class Plan:
    """Everything that decides the results of a comparison.

    Parameters
    ----------
    dataset : mapping
        Name and parameters of the loader, or a hash of the images given; hash of the labels.
    split : mapping
        ``by`` ("confounding", "column" or "random"), ``confounding``, ``n_train``,
        ``n_test``, ``test_size``.
    methods : tuple of MethodPlan
    seeds : tuple of int
    max_epochs : int
        For every method that trains by epochs.
    device : str
    n_threads : int
        CPU threads of each run.
    n_boot : int
        Bootstrap draws of each interval.
    versions : mapping of str to str
    report : bool
        Whether the artifacts that a report shows are kept of the first seed's estimators.
    features : mapping or None
        The net whose features replace the images: `Features.describe`.
    shared_params : mapping
        What was asked for every method that has it; each method's `params` hold it too.
    keep_models : bool
        Whether each run's fitted estimator is stored.
    budget : float or None
        Seconds after which no further run begins.
    """

    dataset: Mapping[str, Any]
    split: Mapping[str, Any]
    methods: tuple[MethodPlan, ...]
    seeds: tuple[int, ...]
    max_epochs: int
    device: str = "auto"
    n_threads: int = 1
    n_boot: int = 1000
    versions: Mapping[str, str] = field(default_factory=dict)
    report: bool = True
    features: Mapping[str, Any] | None = None
    shared_params: Mapping[str, Any] = field(default_factory=dict)
    keep_models: bool = False
    budget: float | None = None

    def has_artifacts(self, seed: int) -> bool:
        """Whether the report shows the estimators of this seed: of the first only."""
        return self.report and seed == self.seeds[0]

    def common(self) -> dict[str, Any]:
        """The settings that two plans must share before their runs may be in one table."""
        names = ("dataset", "split", "max_epochs", "n_boot")
        return {name: plain(getattr(self, name)) for name in names}

    def request(self, method: MethodPlan, seed: int) -> dict[str, Any]:
        """All that decides the result of one run.

        Device, threads and versions of other libraries may change last digits. They are
        left out: hours of work would be thrown away.
        """
        described = {k: v for k, v in method.to_dict().items() if k != "label"}
        host = self.versions.get("fairvision")
        return {**self.common(), "fairvision": host, "method": described, "seed": seed}

    def identity(self, method: MethodPlan, seed: int) -> str:
        """Hash of the request."""
        text = json.dumps(self.request(method, seed), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return plain({**vars(self), "methods": [method.to_dict() for method in self.methods]})


def versions() -> dict[str, str]:
    """Versions of the libraries that decide the numbers."""
    names = ("fairvision", "torch", "torchvision", "scikit-learn", "fairlearn", "aif360", "numpy")
    return {name: importlib.metadata.version(name) for name in names}
