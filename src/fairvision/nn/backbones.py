"""Build backbones from names, modules or factories."""

from __future__ import annotations

import copy
import importlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn.modules import (
    DeterministicAvgPool2d,
    FeatureClassifier,
    PretrainedClassifier,
)
from fairvision.nn.pretrained import (
    Shape,
    Unfetched,
    features_of,
    taking,
    timm_classifier,
    torchvision_classifier,
)
from fairvision.nn.probe import LINEAR, linear
from fairvision.nn.wrapping import reference_tensor, trace, uncompiled

__all__ = ["Backbone", "Unfetched", "backbone_for", "build_classifier", "mlp", "small_cnn"]

Backbone = str | nn.Module | Callable[..., nn.Module]

_HALF = {"mean": (0.5,), "std": (0.5,)}


def small_cnn(input_shape: Shape) -> nn.Module:
    """Three strided convolutions with batch normalisation, 4 x 4 pooling, 128 features.

    It has about 0.2 million weights and trains in seconds on a CPU, for images of 24 to 96 pixels.
    """

    def block(n_in: int, n_out: int, size: int) -> list[nn.Module]:
        conv = nn.Conv2d(n_in, n_out, size, stride=2, padding=size // 2, bias=False)
        return [conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(input_shape[0], 16, 5),
        *block(16, 32, 3),
        *block(32, 64, 3),
        DeterministicAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(64 * 16, 128),
        nn.ReLU(inplace=True),
    )


def mlp(input_shape: Shape) -> nn.Module:
    """Two hidden layers of 64 units, for tables and very small images."""
    n_inputs = int(torch.Size(input_shape).numel())
    return nn.Sequential(
        nn.Flatten(), nn.Linear(n_inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()
    )


def backbone_for(backbone: Backbone, input_shape: Shape) -> Backbone:
    """The backbone itself, or its replacement for features if it is ``"small-cnn"``.

    Tables get ``"mlp"``; maps of a net's inner layer ``"linear"``.
    """
    if not isinstance(backbone, str) or backbone != "small-cnn":
        return backbone
    if len(input_shape) == 1:
        return "mlp"
    return backbone if input_shape[0] in (1, 3) else LINEAR


def build_classifier(
    backbone: Backbone, weights: str | None, input_shape: Shape, n_classes: int
) -> nn.Module:
    """Build a new module with `.features(x)` and `.head` for the given images.

    Parameters
    ----------
    backbone : str, nn.Module or callable
        ``"small-cnn"``, ``"mlp"``, ``"linear"``, the name of any `torchvision.models`
        classifier, ``"timm:NAME"``, ``"package.module:factory"``; a module (copied; it returns
        features, or has `.features` and `.head`); or a factory, called with the input
        shape if it requires an argument.
    weights : str or None
        The path of a state dict; ``"package:NAME"`` or ``"package:NAME/FILE"``, one in
        an installed package; for torchvision names an entry of the model's weights enum
        (``"DEFAULT"``), downloaded by torchvision; for timm ``"DEFAULT"``, of the tag
        that stands after a dot in the name. All but the head must fit the model.
    input_shape : tuple
        (n_channels, height, width), or (n_features,).
    n_classes : int

    Raises
    ------
    InputError
        If no backbone has that name, or the module does not accept such images.
    """
    of_timm = isinstance(backbone, str) and backbone.startswith("timm:")
    published = isinstance(backbone, str) and backbone not in _OWN and ":" not in backbone
    if weights is not None and not published and not of_timm:
        raise InputError(
            f"weights is {weights!r:.200}, but backbone is {backbone!r:.60}; only backbones of "
            "torchvision.models and timm take weights. Load them into a module and pass that as "
            "the backbone."
        )
    if isinstance(backbone, str):
        if backbone in _OWN:
            scaling = {} if backbone == LINEAR else _HALF
            return _with_head(_OWN[backbone](input_shape), input_shape, n_classes, **scaling)
        if of_timm:
            return timm_classifier(backbone.removeprefix("timm:"), weights, input_shape, n_classes)
        if published:
            return torchvision_classifier(backbone, weights, input_shape, n_classes)
        backbone = _import(backbone)
    module = copy.deepcopy(backbone) if isinstance(backbone, nn.Module) else None
    if module is None and callable(backbone):
        module = backbone(input_shape) if _requires_argument(backbone) else backbone()
    if not isinstance(module, nn.Module):
        raise InputError(
            f"backbone is {backbone!r}; pass a name, an nn.Module, or a factory that returns one."
        )
    module = uncompiled(module).cpu()
    built = _complete(module, input_shape, n_classes)
    if isinstance(backbone, nn.Module) and built is not module and hasattr(built, "trunk"):
        _warn_of_head(module, input_shape, n_classes)
    return built


_OWN: dict[str, Callable[[Shape], nn.Module]] = {
    "small-cnn": small_cnn,
    "mlp": mlp,
    LINEAR: linear,
}


def _import(target: str) -> Callable[..., nn.Module]:
    module, _, name = target.partition(":")
    if module == "package":  # which files may hold, as the name of weights
        raise InputError(f"backbone is {target!r}, which names weights. Pass it as weights.")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"backbone {target!r} cannot be imported: {error}.") from error


def _requires_argument(factory: Callable[..., nn.Module]) -> bool:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        parameter.kind in positional and parameter.default is parameter.empty
        for parameter in inspect.signature(factory).parameters.values()
    )


def _complete(module: nn.Module, input_shape: Shape, n_classes: int) -> nn.Module:
    """Add a head if the module has none, or one for another number of classes."""
    if isinstance(module, PretrainedClassifier):
        with torch.no_grad(), taking(input_shape):
            blank = torch.zeros(2, *input_shape, dtype=reference_tensor(module).dtype)
            n_outputs = module.eval()(blank).shape[1]
        if n_outputs != n_classes:
            raise InputError(
                f"The wrapped model has {n_outputs} output(s), but y has {n_classes} "
                "classes. Replace its last layer first."
            )
        return module
    head = getattr(module, "head", None)
    # Its `.features` may not be the input of the head.
    is_complete = callable(getattr(module, "features", None)) and isinstance(head, nn.Linear)
    if not is_complete or features_of(module, input_shape).shape[1:] != (head.in_features,):  # type: ignore[union-attr]
        return _with_head(module, input_shape, n_classes)
    assert isinstance(head, nn.Linear)
    if head.out_features == 1 and n_classes == 2:  # it is trained on these classes
        name = next(name for name, layer in module.named_modules() if layer is head)
        return PretrainedClassifier(module, name)
    if head.out_features != n_classes:
        module.head = nn.Linear(head.in_features, n_classes)
    return module


def _warn_of_head(module: nn.Module, input_shape: Shape, n_classes: int) -> None:
    """Warn that the trained head of a net is not used."""
    with taking(input_shape):
        seen = trace(module, input_shape)
    n_outputs = getattr(seen.layer, "out_features", getattr(seen.layer, "out_channels", 0))
    if max(n_outputs, 2) == n_classes and n_outputs:
        warnings.warn(
            f"The backbone {type(module).__name__} ends in a layer {seen.head!r} of {n_outputs} "
            f"output(s), and y has {n_classes} classes. It is taken for features: a new head that "
            "knows nothing is put behind it. To train on, with the net's own head, use "
            "TorchClassifier.from_module(net, classes=...) and a clone of it.",
            FairvisionWarning,
            stacklevel=2,
        )


def _with_head(
    trunk: nn.Module, input_shape: Shape, n_classes: int, **normalization: Any
) -> FeatureClassifier:
    if len(input_shape) == 1:
        normalization = {}
    n_features = features_of(FeatureClassifier(trunk, 1, 1), input_shape).shape[1]
    return FeatureClassifier(trunk, n_features, n_classes, **normalization)
