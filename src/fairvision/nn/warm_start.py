"""Training that continues from the net of an earlier fit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairvision.base import Groups, code_labels
from fairvision.exceptions import InputError
from fairvision.nn.labels import label_array
from fairvision.nn.objective import Objective

__all__ = [
    "check_goes_on",
    "earlier_fit",
    "join",
    "known_classes",
    "later_seed",
    "load_moments",
    "load_optimizer",
    "load_weights",
]

_ANEW = "or begin anew with warm_start=False."


def earlier_fit(estimator: Any) -> dict[str, Any]:
    """The attributes of the fit to go on from; empty to begin anew."""
    goes_on = estimator.warm_start and hasattr(estimator, "module_")
    return dict(vars(estimator)) if goes_on else {}


def check_goes_on(estimator: Any, objective: Objective, earlier: Mapping[str, Any]) -> None:
    """Check that the classes and groups are the same as in the earlier fit.

    Groups take the codes of the earlier fit, if the objective needs them.

    Raises
    ------
    InputError
        If a class or a group is another.
    """
    if not earlier:
        return
    classes, before = estimator.classes_.tolist(), np.asarray(earlier["classes_"]).tolist()
    if classes != before:
        raise InputError(
            f"warm_start continues with a net of the classes {before}, but y has {classes}. Pass "
            f"rows of these classes, {_ANEW}"
        )
    known = earlier.get("groups_")
    if objective.needs_groups and known is not None:
        codes = known.encode(estimator.groups_)
        estimator.groups_ = Groups(known.names, codes, known.categories)


def load_weights(module: nn.Module, earlier: Mapping[str, Any]) -> None:
    """Give a new module, on its device, the weights of the earlier fit; that one keeps them."""
    if not earlier:
        return
    try:
        module.load_state_dict(earlier["module_"].state_dict())
    except RuntimeError as error:
        raise InputError(
            "warm_start cannot continue with the fitted net, because backbone or another "
            f"parameter of the net has changed: {error} Restore these parameters, {_ANEW}"
        ) from error


def load_optimizer(optimizer: Any, earlier: Mapping[str, Any]) -> None:
    """Give a new optimizer the moments of the earlier fit's; its settings stay.

    Not if that is of another class, groups the weights otherwise, or was not saved.
    """
    old = getattr(earlier.get("net_"), "optimizer_", None)
    if old is None or type(_inner(old)) is not type(_inner(optimizer)):
        return
    before, now = copy.deepcopy(old.state_dict()), optimizer.state_dict()
    sizes = [[len(g["params"]) for g in state["param_groups"]] for state in (before, now)]
    if sizes[0] == sizes[1]:
        load_moments(optimizer, {**before, "param_groups": now["param_groups"]})


def load_moments(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Load the state of an optimizer that may have been on another device.

    The optimizer stays fused or not as it is. Its moments get the memory layout of their weights,
    which a fused optimizer needs.
    """
    groups = [
        {**before, **{name: now[name] for name in ("fused", "foreach") if name in now}}
        for before, now in zip(
            state["param_groups"], optimizer.state_dict()["param_groups"], strict=True
        )
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for weight, moments in _inner(optimizer).state.items():
        for name, value in moments.items():
            alike = isinstance(value, Tensor) and value.shape == weight.shape
            if alike and value.stride() != weight.stride():
                moments[name] = torch.empty_like(weight).copy_(value)


def _inner(optimizer: Any) -> Any:
    return getattr(optimizer, "optimizer", optimizer)  # inside accelerate's


def later_seed(seed: int, earlier: Mapping[str, Any]) -> int:
    """The seed of a continued fit, so that rows are shuffled differently from earlier epochs."""
    n_epochs = len(earlier.get("history_", ()))
    return int(np.random.SeedSequence([seed, n_epochs]).generate_state(1)[0]) if n_epochs else seed


def join(estimator: Any, earlier: Mapping[str, Any]) -> None:
    """Put the epochs, the steps and the groups of the earlier fit before those of this one."""
    history = estimator.history_
    before = copy.deepcopy(list(earlier.get("history_", ())))
    for epoch in history:
        epoch["epoch"] += len(before)
    history[:] = [*before, *history]
    estimator.n_steps_ += earlier.get("n_steps_", 0)
    estimator.groups_ = _joined(earlier.get("groups_"), estimator.groups_)


def _joined(before: Groups | None, now: Groups | None) -> Groups | None:
    """The groups of both, a row for each cell of the earlier ones."""
    if before is None or now is None or before.names != now.names:
        return now
    cells = before[np.unique(before.codes, axis=0, return_index=True)[1]]
    columns = [
        code_labels(np.concatenate([g.column(i).astype(object) for g in (cells, now)]))
        for i in range(len(now.names))
    ]
    return Groups(
        now.names,
        np.stack([codes for codes, _ in columns], axis=1),
        tuple(labels for _, labels in columns),
    )


def known_classes(estimator: Any, classes: Any) -> Any:
    """The classes of a fit on a part of the rows: those of the net, or those that are given.

    Raises
    ------
    InputError
        If neither is there, or they differ.
    """
    known = getattr(estimator, "classes_", estimator.classes)
    if known is None and classes is None:
        raise InputError(
            "classes is None. Name all labels in the first call of partial_fit: "
            "partial_fit(X, y, classes=['no', 'yes'])."
        )
    if known is None:
        return classes
    known = label_array(known)  # in the order of the net's outputs, however `classes` has them
    if classes is not None and set(label_array(classes).tolist()) != set(known.tolist()):
        raise InputError(
            f"classes is {list(classes)}, but the net has {known.tolist()}. Leave it out."
        )
    return known
