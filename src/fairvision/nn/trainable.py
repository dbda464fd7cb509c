"""The weights of a net that are trained, and the learning rate of its trunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from fairvision.base import did_you_mean
from fairvision.exceptions import InputError
from fairvision.nn.modules import FeatureClassifier, PretrainedClassifier

__all__ = ["Trainable", "check_trainable", "choose_trainable", "parameter_groups", "trunk_layers"]

Trainable = str | Sequence[str]

_FORMS = '"all", "head", "last:N" with N of 1 or more, or a list of names of the trunk\'s layers'


def check_trainable(trainable: Any, trunk_lr: Any) -> None:
    """Check both parameters of `TorchClassifier` before anything runs."""
    if isinstance(trainable, str):
        right = trainable in ("all", "head") or _n_last(trainable) > 0
    else:
        right = isinstance(trainable, (list, tuple)) and all(isinstance(n, str) for n in trainable)
    if not right:
        raise InputError(f"trainable is {trainable!r}; pass {_FORMS}.")
    if trunk_lr is not None and not (isinstance(trunk_lr, (int, float)) and trunk_lr >= 0):
        raise InputError(f"trunk_lr is {trunk_lr!r}; pass a number of 0 or more, or None for lr.")


def _n_last(trainable: str) -> int:
    word, _, number = trainable.partition(":")
    return int(number) if word == "last" and number.isdecimal() else 0


def choose_trainable(module: nn.Module, trainable: Trainable) -> None:
    """Let only some weights of a classifier require gradients; the head always does.

    Parameters
    ----------
    module : nn.Module
        With ``features(x)`` and ``head``.
    trainable : str or list of str
        As in `TorchClassifier`.

    Raises
    ------
    InputError
        If the trunk has fewer layers, or none of that name.
    """
    if trainable == "all":
        return
    prefix, trunk = _trunk(module)
    names: Sequence[str] = () if trainable == "head" else trainable
    if isinstance(trainable, str) and trainable != "head":
        layers = trunk_layers(trunk, module.head)
        if _n_last(trainable) > len(layers):
            raise InputError(
                f"trainable is {trainable!r}, but the backbone has {len(layers)} layers: "
                f"{', '.join(parts[0] for parts in layers)}. Pass fewer, or 'all'."
            )
        names = [name for parts in layers[-_n_last(trainable) :] for name in parts]
    _check_names(names, trunk)
    chosen = tuple(f"{prefix}{name}" for name in names)
    head = {id(parameter) for parameter in module.head.parameters()}  # type: ignore[union-attr]
    for name, parameter in module.named_parameters():
        inside = any(name == c or name.startswith(f"{c}.") for c in chosen)
        parameter.requires_grad_(inside or id(parameter) in head)


def _trunk(module: nn.Module) -> tuple[str, nn.Module]:
    """The module that holds the trunk, and what its parameters' names begin with."""
    if isinstance(module, FeatureClassifier):
        return "trunk.", module.trunk
    if isinstance(module, PretrainedClassifier):
        return "model.", module.model
    return "", module


def _check_names(names: Sequence[str], trunk: nn.Module) -> None:
    known = [*dict(trunk.named_modules()), *dict(trunk.named_parameters())]
    for name in names:
        if name not in known or not name:
            hint = did_you_mean(name, known) or "See named_modules()."
            raise InputError(f"trainable names {name!r}, which the backbone lacks. {hint}")


def trunk_layers(trunk: nn.Module, head: Any = None) -> list[list[str]]:
    """The layers of a trunk in order, each as the names of its modules.

    A layer is what a net repeats: a residual block, a transformer's layer, or a convolution
    with the normalisation that follows it. So containers are opened that are plain sequences,
    or the only ones of their class in the net.
    """
    n_of_class = Counter(type(module) for module in trunk.modules())

    def opened(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
        for name, child in module.named_children():
            plain = type(child) in (nn.Sequential, nn.ModuleList)
            if any(child.children()) and (plain or n_of_class[type(child)] == 1):
                yield from opened(child, f"{prefix}{name}.")
            elif child is not head and any(True for _ in child.parameters()):
                yield f"{prefix}{name}", child

    grouped: list[list[str]] = []
    for name, layer in opened(trunk, ""):
        if not grouped or any(p.dim() > 1 for p in layer.parameters()):
            grouped.append([])
        grouped[-1].append(name)
    return grouped


def parameter_groups(module: nn.Module, trunk_lr: float | None) -> dict[str, Any]:
    """skorch's parameters for a learning rate of the trunk: groups by patterns of names."""
    if trunk_lr is None:
        return {}
    prefix, _ = _trunk(module)
    head = next(name for name, layer in module.named_modules() if layer is module.head)
    groups = [(f"{head}.*", {}), (f"{prefix}*", {"lr": trunk_lr})]
    return {"optimizer__param_groups": groups}
