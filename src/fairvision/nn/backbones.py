"""Backbones by name, by module or by factory, each ending in features."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fairvision.exceptions import InputError
from fairvision.nn.modules import FeatureClassifier, last_linear

__all__ = ["Backbone", "build_classifier", "mlp", "small_cnn"]

Backbone = str | nn.Module | Callable[..., nn.Module]
Shape = tuple[int, ...]

_HALF = {"mean": (0.5,), "std": (0.5,)}
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def small_cnn(input_shape: Shape) -> nn.Module:
    """Three strided convolutions with batch normalisation, 4 x 4 pooling, 128 features.

    About 0.2 million weights: trains in seconds on a CPU for images of 24 to 96 pixels.
    """

    def block(n_in: int, n_out: int, size: int) -> list[nn.Module]:
        conv = nn.Conv2d(n_in, n_out, size, stride=2, padding=size // 2, bias=False)
        return [conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(input_shape[0], 16, 5),
        *block(16, 32, 3),
        *block(32, 64, 3),
        nn.AdaptiveAvgPool2d(4),
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


def build_classifier(
    backbone: Backbone, weights: str | None, input_shape: Shape, n_classes: int
) -> nn.Module:
    """Build a new module with `.features(x)` and `.head` for the given images.

    Parameters
    ----------
    backbone : str, nn.Module or callable
        ``"small-cnn"``, ``"mlp"``, the name of any `torchvision.models`
        classifier, ``"package.module:factory"``; a module (copied: features in
        its output, or its own `.features` and `.head`); or a factory called
        with the input shape if it takes an argument.
    weights : str or None
        For torchvision names: an entry of the model's weights enum
        (``"DEFAULT"``), downloaded by torchvision; or the path of a state dict.
    input_shape : tuple
        (n_channels, height, width), or (n_features,).
    n_classes : int

    Raises
    ------
    InputError
        If no backbone has that name (with the closest ones), or the module does
        not take such images.
    """
    if isinstance(backbone, str):
        if backbone in _OWN:
            return _with_head(_OWN[backbone](input_shape), input_shape, n_classes, **_HALF)
        if ":" not in backbone:
            return _torchvision(backbone, weights, input_shape, n_classes)
        backbone = _import(backbone)
    if isinstance(backbone, nn.Module):
        module = copy.deepcopy(backbone)
    elif callable(backbone):
        takes_shape = bool(inspect.signature(backbone).parameters)
        module = backbone(input_shape) if takes_shape else backbone()
    else:
        raise InputError(f"backbone is {backbone!r}; pass a name, an nn.Module or a factory.")
    return _complete(module, input_shape, n_classes)


_OWN: dict[str, Callable[[Shape], nn.Module]] = {"small-cnn": small_cnn, "mlp": mlp}


def _import(target: str) -> Callable[..., nn.Module]:
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"backbone {target!r} cannot be imported: {error}.") from error


def _complete(module: nn.Module, input_shape: Shape, n_classes: int) -> nn.Module:
    """Give a module what is missing: a head, or a head of the right width."""
    head = getattr(module, "head", None)
    if not callable(getattr(module, "features", None)) or not isinstance(head, nn.Linear):
        return _with_head(module, input_shape, n_classes)
    if head.out_features != n_classes and isinstance(getattr(type(module), "head", None), property):
        raise InputError(
            f"The wrapped model has {head.out_features} output(s), y has {n_classes} classes. "
            "Replace its last layer first."
        )
    if head.out_features != n_classes:
        module.head = nn.Linear(head.in_features, n_classes)
    return module


def _with_head(
    trunk: nn.Module, input_shape: Shape, n_classes: int, **normalization: Any
) -> FeatureClassifier:
    tabular = len(input_shape) == 1
    probe = FeatureClassifier(trunk, 1, 1, **({} if tabular else normalization)).eval()
    try:
        with torch.no_grad():
            n_features = probe.features(torch.zeros(2, *input_shape)).shape[1]
    except RuntimeError as error:
        raise InputError(
            f"The backbone does not take images of shape {input_shape} "
            f"(channels, height, width): {error}"
        ) from error
    return FeatureClassifier(trunk, n_features, n_classes, **({} if tabular else normalization))


def _torchvision(
    name: str, weights: str | None, input_shape: Shape, n_classes: int
) -> FeatureClassifier:
    import torchvision.models as zoo

    names = zoo.list_models(module=zoo)
    if name not in names:
        close = get_close_matches(name, [*_OWN, *names], n=3)
        hint = f"Did you mean {' or '.join(close)}?" if close else "See torchvision.models."
        raise InputError(f"No backbone is called {name!r}. {hint}")
    if len(input_shape) != 3:
        raise InputError(f"backbone {name!r} takes images; X has {input_shape[0]} plain features.")
    local = weights is not None and Path(weights).is_file()
    published = None if local else weights
    model = zoo.get_model(name, weights=published, **_options(name, input_shape, published))
    if local:
        model.load_state_dict(torch.load(str(weights), weights_only=True, map_location="cpu"))
    n_features = _behead(model)
    normalization = _IMAGENET
    if published is not None:
        preset = zoo.get_model_weights(name)[published].transforms()
        normalization = {"mean": tuple(preset.mean), "std": tuple(preset.std)}
    model = FeatureClassifier(model, n_features, n_classes, n_channels=3, **normalization)
    return model


def _options(name: str, input_shape: Shape, weights: str | None) -> dict[str, Any]:
    """Constructor arguments that depend on the image size or on training from scratch."""
    if weights is not None:
        return {}
    if name in ("googlenet", "inception_v3"):
        # Auxiliary heads make `forward` return a tuple in training mode.
        return {"aux_logits": False, "init_weights": False}
    if name.startswith("vit_"):
        return {"image_size": input_shape[1]}
    if name.startswith("maxvit"):
        return {"input_size": input_shape[1:]}
    return {}


def _behead(model: nn.Module) -> int:
    """Take the ImageNet head off a torchvision model; return the features it had entering."""
    for auxiliary in ("aux1", "aux2", "AuxLogits"):
        if getattr(model, auxiliary, None) is not None:
            setattr(model, auxiliary, None)
    if hasattr(model, "aux_logits"):
        model.aux_logits = False  # type: ignore[assignment]  # torch types attributes as modules
    if type(model).__name__ == "SqueezeNet":  # ends in a 1 x 1 convolution instead
        model.classifier = nn.AdaptiveAvgPool2d(1)
        return 512
    name, layer = last_linear(model)
    model.set_submodule(name, nn.Identity())
    return layer.in_features
