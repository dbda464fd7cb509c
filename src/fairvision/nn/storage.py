"""A `TorchClassifier` as plain values and tensors, and back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fairvision.base import fitted_attributes
from fairvision.nn.checks import check_shape
from fairvision.nn.device import device_or_cpu
from fairvision.nn.randomness import isolated_rng
from fairvision.nn.state import check_structure, get_tensors, put_tensors
from fairvision.nn.training import context_of, unfetched_module
from fairvision.nn.wrapping import uncompiled

__all__ = ["get_state", "set_state"]


def get_state(model: Any) -> dict[str, Any]:
    """The fitted attributes, the module as its tensors; the skorch net is left out."""
    state = fitted_attributes(model)
    state.pop("net_", None)
    if "module_" in state:
        state["module_"] = get_tensors(model.module_)
    return state


def set_state(model: Any, state: Mapping[str, Any]) -> None:
    """Set the fitted attributes; build the module again, fetching nothing, with its tensors."""
    # Files of the first format also hold "_n_features_out", which follows from the module.
    for name in state.keys() - {"module_", "_n_features_out"}:
        setattr(model, name, state[name])
    if "module_" not in state:
        return
    module = _rebuild(model, state["module_"])
    put_tensors(module, state["module_"])
    # It may have been saved on another machine.
    model.module_ = module.to(device_or_cpu(model.device)).eval()


def _rebuild(model: Any, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A module of the structure that `module_` had, with new weights."""
    if not hasattr(model, "history_"):  # by `from_module`
        return copy.deepcopy(uncompiled(model.backbone))
    check_shape(model.input_shape_)
    objective, context = model.make_objective(), context_of(model, torch.device("cpu"))
    objective.check(context)
    make = partial(unfetched_module, model, objective, context)
    with isolated_rng(0):
        check_structure(make, model.input_shape_, tensors)
        return make()
