"""The model of a run: loaded if the run kept it, else trained again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fairvision.comparison.changes import changes
from fairvision.comparison.data import read_data
from fairvision.comparison.features import Features, extractor_of
from fairvision.comparison.kept import load_model, model_of
from fairvision.comparison.plan import MethodPlan, Plan
from fairvision.comparison.run import Run
from fairvision.comparison.run_method import fit_run, predict_validation
from fairvision.comparison.store import Store
from fairvision.exceptions import InputError, RunError
from fairvision.models import ImageModel

__all__ = ["model_of_run"]


def model_of_run(comparison: Any, label: str, seed: int, dataset: Any = None) -> Any:
    """The fitted model of a run.

    Parameters
    ----------
    comparison : Comparison
    label : str
    seed : int
    dataset : Bunch or None
        The data, if the comparison was given data rather than a name.

    Returns
    -------
    ImageModel, or the fitted estimator where the data are no pictures

    Raises
    ------
    InputError
        If the comparison has no such run, or the data are needed.
    RunError
        If the data have changed, or training gives another model.
    """
    runs = {(run.method, run.seed): run for run in comparison.runs}
    if (label, seed) not in runs:
        seeds = [run.seed for run in comparison.runs if run.method == label]
        raise InputError(f"{label} has no finished run of seed {seed}; there are {seeds}.")
    run = runs[label, seed]
    model = _kept(comparison, run)
    if model is None:
        model = _trained(comparison, run, dataset)
    if not isinstance(model, ImageModel):
        return model
    described = comparison.plan.features
    if described is not None and model.extractor is None:
        model.extractor = extractor_of(
            described, model.input_shape_, comparison.extractor, device=comparison.plan.device
        )
    model.evaluation = run.evaluation
    model.facts = {
        "method": label,
        "dataset": comparison.plan.dataset["name"],
        "seed": seed,
        **{name: getattr(run, name) for name in ("n_train", "n_test", "train_seconds")},
    }
    return model


def _kept(comparison: Any, run: Run) -> Any:
    """The model that the run stored; None if it stored none."""
    if run.model is not None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "model")
            path.write_bytes(run.model)
            return load_model(path)
    stored = comparison.out and Store(comparison.out).model(run.method, run.seed)
    return load_model(stored) if stored else None


def _trained(comparison: Any, run: Run, dataset: Any) -> Any:
    plan = comparison.plan
    method = next(method for method in plan.methods if method.label == run.method)
    if method.estimator is True:  # read from a folder, which names its class only
        raise RunError(
            f"{run.method} is an estimator of your own, which the folder does not hold. Compare "
            "again with --keep-models (keep_models=True), or call choose on the Comparison in "
            "the Python process that ran it."
        )
    data = _data(plan, dataset, comparison.extractor)
    estimator = fit_run(plan, data, method, run.seed).estimator
    _check_same(plan, data, method, run, estimator)
    return model_of(estimator, data)


def _data(plan: Plan, dataset: Any, extractor: Any) -> Any:
    """Read the data of the comparison again, with their features."""
    name, params = plan.dataset["name"], plan.dataset.get("params")
    if dataset is None and name == "given":
        raise InputError(
            "the comparison was given data rather than a name. Pass the same data as dataset=, or "
            "compare with --keep-models (keep_models=True)."
        )
    data, description = read_data(*((name, params) if dataset is None else (dataset, None)))
    if plan.features is not None:
        images = data.images
        features = Features(
            extractor_of(plan.features, images.shape[1:], extractor, device=plan.device), data
        )
        description["features"] = features.extractor.identity_
        data = features.extract(data)
    if changed := changes({"dataset": dict(plan.dataset)}, {"dataset": description}):
        raise RunError(
            f"these are not the data of the comparison: {'; '.join(changed)}. Compare again."
        )
    return data


def _check_same(plan: Plan, data: Any, method: MethodPlan, run: Run, estimator: Any) -> None:
    """Raise `RunError` if the model's predictions differ from those of the run."""
    retrained = predict_validation(plan, data, method, run.seed, estimator)
    if run.validation is None or retrained is None:
        return
    n_others = int(np.sum(retrained.y_pred != run.validation.y_pred))
    if n_others:
        raise RunError(
            f"{run.method} was trained again, but its predictions differ from the stored run in "
            f"{n_others} of {len(retrained.rows)} validation rows. Versions, code or the device "
            "have changed, or it was trained on CUDA without deterministic=True. Compare again "
            "with --keep-models (keep_models=True)."
        )
