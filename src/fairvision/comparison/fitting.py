"""`fit`: one method on all rows but those held out, as a model of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from fairvision.base import rows_of
from fairvision.comparison.data import read_data
from fairvision.comparison.features import Features, check_weights, has_features, suited_to_form
from fairvision.comparison.methods import plan_methods
from fairvision.comparison.plan import MethodPlan, Plan, versions
from fairvision.comparison.progress import Progress
from fairvision.comparison.run_method import Fitted, check_suited, fit_run
from fairvision.comparison.scheduler import dry_run
from fairvision.comparison.split import VALIDATION, plan_split
from fairvision.datasets import subset
from fairvision.exceptions import InputError
from fairvision.metrics import evaluate_predictions
from fairvision.models import ImageModel, check_pictures

__all__ = ["fit"]

_FRACTION = 0.2


def fit(
    dataset: str | Bunch,
    method: Any = None,
    *,
    pre: Any = None,
    model: Any = None,
    post: Any = None,
    validation_fraction: float | None = None,
    validation_column: str | None = None,
    dataset_params: Mapping[str, Any] | None = None,
    max_epochs: int = 10,
    preset: str | None = "quick",
    params: Mapping[str, Mapping[str, Any]] | None = None,
    shared_params: Mapping[str, Any] | None = None,
    features: Any = None,
    device: str = "auto",
    n_threads: int = 1,
    n_boot: int = 1000,
    random_state: int = 0,
    progress: bool = False,
) -> ImageModel:
    """Train one method, and return a model that predicts picture files.

    This is one run of `compare`. It trains on all rows but the validation rows, and evaluates the
    model on the validation rows. Rows of the split ``test`` are not used.

    Parameters
    ----------
    dataset : str or Bunch
        As in `compare`, with images.
    method : str, pair, mapping or estimator, default=None
        One method, as in `compare`; None is ``erm``.
    pre, model, post : str or estimator, or list of them, or None
        In place of `method`: nested as in `compose`. `model` is a single classifier; None is
        ``erm``.
    validation_fraction : float or None, default=None
        Share of the rows held out, stratified by target x group. None takes the split ``valid``
        of the data, or 0.2 if there is none.
    validation_column : str or None, default=None
        Attribute that marks the held-out rows instead, by true values or ``valid``.
    dataset_params, max_epochs, preset, params, shared_params, features, device, n_threads, n_boot
        As in `compare`.
    random_state : int, default=0
        Decides the split and the method's randomness, as a seed of `compare` does.
    progress : bool, default=False
        A bar over epochs on a terminal, a line elsewhere, on stderr.

    Returns
    -------
    ImageModel
        Its ``evaluation`` is of the validation rows.

    Raises
    ------
    FairvisionError
        Before anything runs: for an unknown name, or unusable parameters or data. During
        training: for an image that cannot be read.

    Examples
    --------
    >>> import fairvision as fv
    >>> faces = fv.datasets.load("faces", n_samples=300, image_size=24, target="smiling",
    ...                          sensitive="hat", random_state=0)
    >>> model = fv.fit(faces, "reweighing", max_epochs=1, n_boot=20)
    >>> model.predict(faces.images[:2]).shape
    (2,)
    """
    shared: dict[str, Any] = {"shared_params": shared_params, "on_features": features is not None}
    parts = {"pre": pre, "model": model, "post": post}
    planned = _plan(method, parts, preset=preset, params=params, **shared)
    given, description = read_data(dataset, dataset_params)
    check_pictures(given.images)
    given = _parted(given, validation_fraction, validation_column)
    split = plan_split(given, test_size=validation_fraction or _FRACTION)
    settings = (max_epochs, device, n_threads, n_boot, versions(), False)
    plan = Plan(description, split, (planned,), (random_state,), *settings)
    for nested in _chain(planned):
        check_suited(nested, given)
    extracted = _features(planned, given, features)
    dry_run(plan, given)
    data = given if extracted is None else extracted.extract(given)
    with Progress(1, max_epochs, show=progress) as bar:
        callbacks = bar.callbacks(planned.label, random_state)
        fitted = fit_run(plan, data, planned, random_state, callbacks=callbacks)
        bar.finish(planned.label, random_state, f"trained in {fitted.seconds:.1f} s")
    trained = ImageModel.from_dataset(
        fitted.estimator,
        given,
        extractor=None if extracted is None else extracted.extractor,
        facts=_training_record(plan, fitted),
    )
    trained.evaluation = _evaluation(trained, data, fitted.test, n_boot, random_state)
    return trained


def _training_record(plan: Plan, fitted: Fitted) -> dict[str, Any]:
    """What the model file says of its training."""
    return {
        "method": plan.methods[0].label,
        "dataset": plan.dataset["name"],
        "n_train": len(fitted.train),
        "n_validation": len(fitted.test),
        "train_seconds": fitted.seconds,
        "max_epochs": plan.max_epochs,
        "device": plan.device,
        "seed": plan.seeds[0],
    }


def _plan(method: Any, parts: Mapping[str, Any], **options: Any) -> MethodPlan:
    """The plan of one method, or of several nested as `compose` nests them."""
    given = {slot: estimator for slot, estimator in parts.items() if estimator is not None}
    if not given:
        plans = plan_methods("erm" if method is None else method, **options)
        if len(plans) > 1:
            raise InputError(
                f"method names {len(plans)} methods; fit trains one. Pass one, or use compare."
            )
        return plans[0]
    if method is not None:
        raise InputError(
            f"method and {', '.join(given)} are both given. Pass method, or pre, model and post."
        )
    slots = [
        (slot, estimator)
        for slot, estimator in {"model": "erm", **given}.items()
        for estimator in (estimator if isinstance(estimator, list) else [estimator])
    ]
    entries = [
        estimator if isinstance(estimator, str) else {f"{slot} {i}": estimator}
        for i, (slot, estimator) in enumerate(slots)
    ]
    by_slot: dict[str, list[MethodPlan]] = {"pre": [], "model": [], "post": []}
    for (slot, _), plan in zip(slots, plan_methods(entries, **options), strict=True):
        if (slot == "pre") != (plan.stage == "pre"):
            raise InputError(f"{slot} is {plan.label!r}, a method of the stage {plan.stage!r}.")
        by_slot[slot].append(plan)
    if len(by_slot["model"]) != 1:
        raise InputError("model is a list; pass one classifier.")
    label = " + ".join(plan.label for plans in by_slot.values() for plan in plans)
    nested = by_slot["model"][0]
    for plan in (*reversed(by_slot["pre"]), *by_slot["post"]):
        seen = plan.groups_at_fit or nested.groups_at_fit
        nested = replace(plan, label=label, model=nested, groups_at_fit=seen)
    return nested


def _chain(plan: MethodPlan | None) -> Iterator[MethodPlan]:
    """A plan and those nested in it."""
    while plan is not None:
        yield plan
        plan = plan.model


def _parted(data: Bunch, fraction: float | None, column: str | None) -> Bunch:
    """The data without their test rows; the validation rows become the test rows of the run."""
    if column is not None and fraction is not None:
        raise InputError("validation_column and validation_fraction are given; pass one of them.")
    if column is None and data.get("split") is None:
        return data
    held, train = _held_out(data, column)
    if held.any() and fraction is None:
        parts = np.where(held, "test", np.where(train, "train", "unused"))
        return Bunch(**{**data, "split": parts.astype(object)})
    data = subset(data, np.flatnonzero(train | held))
    return Bunch(**{**data, "split": None})


def _held_out(data: Bunch, column: str | None) -> tuple[Any, Any]:
    """Masks of the validation rows and of the training rows."""
    values = data.get("split")
    if column is not None:
        attributes = data.get("attributes")
        names = [] if attributes is None else list(map(str, attributes.columns))
        if column not in names:
            raise InputError(f"validation_column {column!r} is no attribute; there are {names}.")
        values = attributes[column].to_numpy()
    words = np.char.lower(np.asarray(values).astype(str))
    held = np.isin(words, (*VALIDATION, "true", "1"))
    if column is not None and (held.all() or not held.any()):
        raise InputError(
            f"validation_column {column!r} holds out {held.sum()} of {len(held)} rows; it has "
            f"{sorted(set(words.tolist()))[:10]}. True values, or 'valid', hold out a row."
        )
    return held, ~held & (words != "test")


def _features(planned: MethodPlan, data: Bunch, features: Any) -> Features | None:
    """The extractor of the features that the method is trained on; None for images."""
    on_features = features is not None or has_features(data)
    suited_to_form(tuple(_chain(planned)), features=on_features, every=False)
    if features is None:
        check_weights((planned,), data)
        return None
    return Features(features, data)


def _evaluation(model: ImageModel, data: Bunch, rows: Any, n_boot: int, seed: int) -> Any:
    """The model's predictions for the validation rows, evaluated; `data` hold what it takes."""
    groups = data.sensitive_features.iloc[rows]
    labels, scores = model.decide(rows_of(data.images, rows), sensitive_features=groups)
    return evaluate_predictions(
        data.target[rows],
        labels,
        sensitive_features=groups,
        y_score=scores[:, 1] if scores is not None and scores.shape[1] == 2 else scores,
        labels=np.unique(data.target),
        n_boot=n_boot,
        random_state=seed,
    ).to_dict()
