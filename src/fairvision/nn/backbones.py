"""Backbones by name, by module or by factory, each ending in features."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn.modules import FeatureClassifier, PretrainedClassifier, last_linear

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
        its output, or its own `.features` and `.head`); or a factory, called
        with the input shape if it requires an argument.
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
    published = isinstance(backbone, str) and backbone not in _OWN and ":" not in backbone
    if weights is not None and not published:
        raise InputError(
            f"weights is {weights!r}, which goes with the backbones of torchvision.models; "
            f"backbone is {backbone!r}. Load them into a module and pass that as the backbone."
        )
    if isinstance(backbone, str):
        if backbone in _OWN:
            return _with_head(_OWN[backbone](input_shape), input_shape, n_classes, **_HALF)
        if published:
            return _torchvision(backbone, weights, input_shape, n_classes)
        backbone = _import(backbone)
    module = copy.deepcopy(backbone) if isinstance(backbone, nn.Module) else None
    if module is None and callable(backbone):
        module = backbone(input_shape) if _requires_argument(backbone) else backbone()
    if not isinstance(module, nn.Module):
        raise InputError(
            f"backbone is {backbone!r}; pass a name, an nn.Module, or a factory that returns one."
        )
    return _complete(module.cpu(), input_shape, n_classes)


_OWN: dict[str, Callable[[Shape], nn.Module]] = {"small-cnn": small_cnn, "mlp": mlp}


def _import(target: str) -> Callable[..., nn.Module]:
    module, _, name = target.partition(":")
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


@contextmanager
def _taking(input_shape: Shape) -> Iterator[None]:
    """Explain what a net raises when it is built for, or shown, images it cannot take."""
    try:
        yield
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"The backbone does not take images of shape {input_shape} "
            f"(channels, height, width): {error}"
        ) from error


def _features_of(module: nn.Module, input_shape: Shape) -> Tensor:
    """What `.features` gives for two blank images."""
    module.eval()
    weight = next(module.parameters(), torch.empty(0))
    with _taking(input_shape), torch.no_grad():
        return module.features(torch.zeros(2, *input_shape, dtype=weight.dtype))  # type: ignore[operator]


def _complete(module: nn.Module, input_shape: Shape, n_classes: int) -> nn.Module:
    """Give a module what is missing: a head, or a head of the right width."""
    head = getattr(module, "head", None)
    if not callable(getattr(module, "features", None)) or not isinstance(head, nn.Linear):
        return _with_head(module, input_shape, n_classes)
    if _features_of(module, input_shape).shape[1:] != (head.in_features,):
        return _with_head(module, input_shape, n_classes)  # a `.features` of some other meaning
    if isinstance(module, PretrainedClassifier):
        if max(head.out_features, 2) != n_classes:
            raise InputError(
                f"The wrapped model has {head.out_features} output(s), y has {n_classes} classes. "
                "Replace its last layer first."
            )
    elif head.out_features != n_classes:
        module.head = nn.Linear(head.in_features, n_classes)
    return module


def _with_head(
    trunk: nn.Module, input_shape: Shape, n_classes: int, **normalization: Any
) -> FeatureClassifier:
    if len(input_shape) == 1:
        normalization = {}
    n_features = _features_of(FeatureClassifier(trunk, 1, 1), input_shape).shape[1]
    return FeatureClassifier(trunk, n_features, n_classes, **normalization)


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
    published = None if weights is None or local else _published(name, weights)
    with _taking(input_shape):
        model = zoo.get_model(name, weights=published, **_options(name, input_shape, published))
    n_features = _behead(model)
    if local:
        _load(model, str(weights))
    normalization = _IMAGENET
    if published is not None:
        preset = published.transforms()
        normalization = {"mean": tuple(preset.mean), "std": tuple(preset.std)}
    whole = FeatureClassifier(model, n_features, n_classes, n_channels=3, **normalization)
    _features_of(whole, input_shape)
    return whole


def _published(name: str, weights: str) -> Any:
    """The entry of a torchvision weights enum that is called so."""
    import torchvision.models as zoo

    known = zoo.get_model_weights(name)
    try:
        return known[weights.rpartition(".")[2]]
    except KeyError:
        raise InputError(
            f"weights is {weights!r}: there is no such file, and {name} is published as "
            f"{[entry.name for entry in known]}. Pass one of these, or the path of a state dict."
        ) from None


def _load(trunk: nn.Module, path: str) -> None:
    """Load a trunk from a state dict, whose own head, of however many classes, is left out."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        missing = trunk.load_state_dict(state, strict=False).missing_keys
    except (AttributeError, EOFError, RuntimeError, TypeError, UnpicklingError) as error:
        raise InputError(
            f"{path} cannot be loaded into the backbone: {error} Pass a state dict of this very "
            "model, as torch.save(model.state_dict(), path) writes it."
        ) from error
    if missing:
        raise InputError(
            f"{path} lacks {len(missing)} of the backbone's weights, {missing[0]!r} first. "
            "Pass a state dict of this very model."
        )


def _options(name: str, input_shape: Shape, weights: Any) -> dict[str, Any]:
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
