"""The complete state of a training between two epochs, as tensors, numbers and text."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from skorch.callbacks.scoring import ScoringBase
from torch import Tensor

from fairvision.exceptions import InputError
from fairvision.nn.device import generator_state, set_generator_state
from fairvision.nn.identity import random_states
from fairvision.nn.warm_start import load_moments

__all__ = ["capture", "check_callback", "restore"]

# Attributes that a callback sets once, such as the scheduler's class.
_STATIC = (type, partial, FunctionType, BuiltinFunctionType, MethodType)
# Attributes of skorch's log: its columns, and whether this process printed a header.
_OF_PRINTING = ("keys_ignored_", "first_iteration_")


def capture(net: Any) -> dict[str, Any]:
    """The state between two epochs: tensors, numbers, text and containers of these."""
    return {
        "module": net.module_.state_dict(),
        "trained": {name: p.requires_grad for name, p in net.module_.named_parameters()},
        "optimizer": _plain(net.optimizer_.state_dict()),
        "scaler": None if (scaler := _scaler(net)) is None else _plain(scaler.state_dict()),
        "objective": _plain(net.objective.state_dict()),
        "callbacks": {name: _callback_state(callback) for name, callback in net.callbacks_},
        "history": [
            {k: _plain(v) for k, v in epoch.items() if k != "batches"} for epoch in net.history
        ],
        "random": _random_state(net),
    }


def restore(net: Any, state: Mapping[str, Any]) -> None:
    """Put a net into a state that `capture` gave."""
    net.module_.load_state_dict(state["module"])
    for name, parameter in net.module_.named_parameters():
        parameter.requires_grad_(state["trained"][name])
    load_moments(net.optimizer_, state["optimizer"])
    if (scaler := _scaler(net)) is not None:
        scaler.load_state_dict(state["scaler"])
    net.objective.load_state_dict(state["objective"])
    for name, callback in net.callbacks_:
        if name in state["callbacks"]:
            _restore_callback(callback, state["callbacks"][name])
    net.history[:] = [{"batches": [], **epoch} for epoch in state["history"]]
    net.n_restored_ = len(net.history)
    _restore_random(state["random"], net.device)


def check_callback(name: str, callback: Any) -> None:
    """Refuse a callback whose state `capture` would miss."""
    for attribute in () if _has_state_dict(callback) else _state_names(callback):
        value = getattr(callback, attribute)
        if not (isinstance(value, _STATIC) or _has_state_dict(value) or _is_plain(value)):
            raise InputError(
                f"the callback {name} holds {attribute}, a {type(value).__name__}, which "
                "TrainingCheckpoint cannot save. Give the callback state_dict() and "
                "load_state_dict(state), or leave out the callback or the checkpoint."
            )


def _scaler(net: Any) -> Any:
    """What an accelerator scales the gradients of fp16 by, or None."""
    return getattr(getattr(net, "accelerator", None), "scaler", None)


def _callback_state(callback: Any) -> Any:
    if _has_state_dict(callback):
        return _plain(callback.state_dict())
    state = {}
    for name in _state_names(callback):
        value = getattr(callback, name)
        if _has_state_dict(value):  # a schedule of torch
            state[name] = _plain(value.state_dict())
        elif _is_plain(value):
            state[name] = _plain(value)
    return state


def _restore_callback(callback: Any, state: Any) -> None:
    if _has_state_dict(callback):
        callback.load_state_dict(state)
        return
    for name, value in state.items():
        if _has_state_dict(getattr(callback, name, None)):
            getattr(callback, name).load_state_dict(value)
        else:
            setattr(callback, name, value)


def _state_names(callback: Any) -> list[str]:
    if isinstance(callback, ScoringBase):  # whose other attributes are of one epoch
        return ["best_score_"]
    return [n for n in vars(callback) if n.endswith("_") and n not in _OF_PRINTING]


def _has_state_dict(thing: Any) -> bool:
    both = hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict")
    return both and not isinstance(thing, type)


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    known = (bool, int, float, str, np.number, np.bool_, Tensor)
    return value is None or isinstance(value, known)


def _plain(value: Any) -> Any:
    """numpy's scalars as Python's, which need no pickle."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    return value


def _random_state(net: Any) -> dict[str, Any]:
    of_torch, of_numpy, of_python = random_states()
    return {
        "torch": of_torch,
        "numpy": [of_numpy[0], of_numpy[1].tolist(), *map(_plain, of_numpy[2:])],
        "python": of_python,
        "device": generator_state(net.device),  # the net's own; the CPU has none besides torch's
    }


def _restore_random(state: Mapping[str, Any], device: torch.device | str) -> None:
    torch.set_rng_state(state["torch"])
    set_generator_state(device, state["device"])
    name, words, *rest = state["numpy"]
    np.random.set_state((name, np.array(words, dtype=np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])
