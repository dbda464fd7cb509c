"""Backbones of torchvision and timm, without their heads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn.modules import FeatureClassifier, last_linear

__all__ = [
    "Shape",
    "Unfetched",
    "features_of",
    "taking",
    "timm_classifier",
    "torchvision_classifier",
]

Shape = tuple[int, ...]

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class Unfetched(str):
    """The name of weights that must not be downloaded: a saved file holds them.

    The module is built with the options that belong to these weights.
    """

    __slots__ = ()


@contextmanager
def taking(input_shape: Shape) -> Iterator[None]:
    """Turn the errors of a net that does not accept such images into one `InputError`."""
    try:
        yield
    except InputError:
        raise
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"The backbone does not take images of shape {input_shape} "
            f"(channels, height, width): {error}"
        ) from error


def features_of(module: nn.Module, input_shape: Shape) -> Tensor:
    """The features of two blank images."""
    module.eval()
    weight = next(module.parameters(), torch.empty(0))
    with taking(input_shape), torch.no_grad():
        return module.features(torch.zeros(2, *input_shape, dtype=weight.dtype))  # type: ignore[operator]


def torchvision_classifier(
    name: str, weights: str | None, input_shape: Shape, n_classes: int
) -> FeatureClassifier:
    """A classifier of `torchvision.models`, with a head for other classes."""
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        close = get_close_matches(name, ["small-cnn", "mlp", *names], n=3)
        hint = f"Did you mean {' or '.join(close)}?" if close else "See torchvision.models."
        raise InputError(f"No backbone is called {name!r}. {hint}")
    if len(input_shape) != 3:
        raise InputError(f"backbone {name!r} takes images; X has {input_shape[0]} plain features.")
    fetch = not isinstance(weights, Unfetched)
    local = weights is not None and fetch and Path(weights).is_file()
    published = None if weights is None or local else _published(name, weights)
    options = _options(name, input_shape, published, fetch)
    with taking(input_shape):
        model = models.get_model(name, weights=published if fetch else None, **options)
    n_features = _remove_head(model)
    if local:
        _load(model, str(weights))
    normalization = _IMAGENET
    if published is not None:
        preset = published.transforms()
        normalization = {"mean": tuple(preset.mean), "std": tuple(preset.std)}
    classifier = FeatureClassifier(model, n_features, n_classes, n_channels=3, **normalization)
    features_of(classifier, input_shape)
    return classifier


def _published(name: str, weights: str) -> Any:
    """The entry of a torchvision weights enum with this name."""
    from torchvision import models

    known = models.get_model_weights(name)
    try:
        return known[weights.rpartition(".")[2]]
    except KeyError:
        if isinstance(weights, Unfetched):  # they were a file
            return None
        raise InputError(
            f"weights is {weights!r}: there is no such file, and {name} is published as "
            f"{[entry.name for entry in known]}. Pass one of these, or the path of a state dict."
        ) from None


def _load(trunk: nn.Module, path: str) -> None:
    """Load a trunk from a state dict; the head in it is ignored."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        missing = trunk.load_state_dict(state, strict=False).missing_keys
    except Exception as error:  # a damaged file raises anything
        raise InputError(
            f"{path} cannot be loaded into the backbone: {error} Pass a state dict of exactly this "
            "model, as torch.save(model.state_dict(), path) writes it."
        ) from error
    if missing:
        raise InputError(
            f"{path} lacks {len(missing)} of the backbone's weights, {missing[0]!r} first. "
            "Pass a state dict of exactly this model."
        )


def timm_classifier(
    name: str, weights: str | None, input_shape: Shape, n_classes: int
) -> FeatureClassifier:
    """A model of timm with a new head. The name may end in the tag of its weights."""
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"backbone 'timm:{name}' needs timm. Run: pip install 'fairvision[timm]'"
        ) from error
    if not timm.is_model(name):  # false for "hf-hub:...", too, which would need the network
        close = get_close_matches(name.partition(".")[0], timm.list_models(), n=3)
        hint = f"Did you mean {' or '.join(close)}?" if close else "See timm.list_models()."
        raise InputError(f"timm has no model {name!r}. {hint}")
    if len(input_shape) != 3:
        raise InputError(f"backbone {name!r} takes images; X has {input_shape[0]} plain features.")
    published, local = weights == "DEFAULT", weights is not None and Path(weights).is_file()
    fetch = weights is not None and not isinstance(weights, Unfetched)
    if fetch and not published and not local:
        raise InputError(
            f"weights is {weights!r}: there is no such file. Pass 'DEFAULT', with the tag of other "
            f"weights after the name (timm.list_pretrained({name + '*'!r}) lists them)."
        )
    config = timm.get_pretrained_cfg(name)
    fixed = config is not None and config.fixed_input_size
    options: dict[str, Any] = {"img_size": input_shape[1:]} if fixed else {}
    with taking(input_shape):
        model = timm.create_model(name, pretrained=fetch and published, num_classes=0, **options)
    if fetch and local:
        _load(model, str(weights))
    used: Any = model.pretrained_cfg
    normalization = {key: tuple(used[key]) for key in ("mean", "std")}
    bare = FeatureClassifier(model, 1, 1, n_channels=3)
    n_features = features_of(bare, input_shape).shape[1]
    return FeatureClassifier(model, n_features, n_classes, n_channels=3, **normalization)


def _options(name: str, input_shape: Shape, weights: Any, fetch: bool) -> dict[str, Any]:
    """Constructor arguments that torchvision sets only when it downloads weights."""
    if weights is not None and fetch:
        return {}
    size = input_shape[1:] if weights is None else weights.meta["min_size"]
    if name in ("googlenet", "inception_v3"):
        # Auxiliary heads make `forward` return a tuple in training mode.
        transform = weights is not None
        return {"aux_logits": False, "init_weights": False, "transform_input": transform}
    if name.startswith("vit_"):
        return {"image_size": size[0]}
    if name.startswith("maxvit"):
        return {"input_size": tuple(size)}
    return {}


def _remove_head(model: nn.Module) -> int:
    """Remove the ImageNet head of a torchvision model; return its number of inputs."""
    for auxiliary in ("aux1", "aux2", "AuxLogits"):
        if getattr(model, auxiliary, None) is not None:
            setattr(model, auxiliary, None)
    if hasattr(model, "aux_logits"):
        model.aux_logits = False  # type: ignore[assignment]  # torch types attributes as modules
    if type(model).__name__ == "SqueezeNet":  # its head is a 1 x 1 convolution
        model.classifier = nn.AdaptiveAvgPool2d(1)
        return 512
    name, layer = last_linear(model)
    model.set_submodule(name, nn.Identity())
    return layer.in_features
