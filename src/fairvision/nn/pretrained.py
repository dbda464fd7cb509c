"""Backbones of torchvision and timm, without their heads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fairvision.base import did_you_mean
from fairvision.exceptions import InputError
from fairvision.nn.modules import FeatureClassifier, last_linear
from fairvision.nn.weights import load_trunk, read_state, weights_file

__all__ = [
    "Shape",
    "Unfetched",
    "features_of",
    "taking",
    "timm_classifier",
    "torchvision_classifier",
    "trained_size",
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
        features = module.features(torch.zeros(2, *input_shape, dtype=weight.dtype))  # type: ignore[operator]
        if len(features) != 2 or not features.is_floating_point():
            raise InputError(
                f"The backbone gives {features.dtype} of shape {tuple(features.shape)} for two "
                "images; expected a row of floating features for each."
            )
        return features


def torchvision_classifier(
    name: str, weights: str | None, input_shape: Shape, n_classes: int
) -> FeatureClassifier:
    """A classifier of `torchvision.models`, with a head for other classes."""
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        hint = did_you_mean(name, ["small-cnn", "mlp", *names]) or "See torchvision.models."
        raise InputError(f"No backbone is called {name!r}. {hint}")
    if len(input_shape) != 3:
        raise InputError(f"backbone {name!r} takes images; X has {input_shape[0]} plain features.")
    fetch = weights is not None and not isinstance(weights, Unfetched)
    file = weights_file(weights) if fetch and weights is not None else None
    published = None if weights is None else _published(name, weights, file)
    with taking(input_shape):
        model = models.get_model(name, weights=None, **_options(name, input_shape, published))
    n_features, heads = _remove_head(model)
    if file is not None:
        load_trunk(model, read_state(file), heads, file, name)
    elif fetch:
        load_trunk(model, _downloaded(name, published), heads, published, name)
    classifier = FeatureClassifier(
        model, n_features, n_classes, n_channels=3, **_normalization(name, published, weights)
    )
    features_of(classifier, input_shape)
    return classifier


def _published(name: str, weights: str, file: Path | None) -> Any:
    """The entry of a torchvision weights enum that `weights` names, by name or by its file.

    None for another file.
    """
    from torchvision import models

    known = models.get_model_weights(name)
    file_name = Path(weights if file is None else file).name
    entry = next((entry for entry in known if entry.url.endswith(f"/{file_name}")), None)
    if entry is not None or file is not None:
        return entry
    try:
        return known[weights.rpartition(".")[2]]
    except KeyError:
        if isinstance(weights, Unfetched):  # they were a file
            return None
        raise InputError(
            f"weights is {weights!r}: there is no such file, and the published weights of {name} "
            f"are {[entry.name for entry in known]}. Pass one of these, or the path of a state "
            "dict."
        ) from None


def _preset(name: str, published: Any) -> Any:
    """How images are prepared for published weights; for a file of others, as for the first."""
    from torchvision import models

    return (published or next(iter(models.get_model_weights(name)))).transforms()


def _normalization(name: str, published: Any, weights: str | None) -> dict[str, Any]:
    if weights is None:
        return dict(_IMAGENET)
    preset = _preset(name, published)
    return {"mean": tuple(preset.mean), "std": tuple(preset.std)}


def trained_size(backbone: Any, weights: str | None) -> tuple[int, int] | None:
    """Height and width that pretrained weights were trained at; None where nobody says."""
    from torchvision import models

    if weights is None or not isinstance(backbone, str):
        return None
    if backbone.startswith("timm:"):
        with suppress(ImportError):
            import timm

            config = timm.get_pretrained_cfg(backbone.removeprefix("timm:"))
            return None if config is None else (config.input_size[1], config.input_size[2])
    if backbone not in models.list_models(module=models):
        return None
    file = None if isinstance(weights, Unfetched) else weights_file(weights)
    size = _preset(backbone, _published(backbone, weights, file)).crop_size
    return size[0], size[-1]


def _downloaded(name: str, published: Any) -> dict[str, Tensor]:
    """The published weights, from torch's own folder or the network."""
    try:
        return dict(published.get_state_dict(progress=False, check_hash=True, map_location="cpu"))
    except Exception as error:  # no network, no space, another hash
        file = published.url.rpartition("/")[2]
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise InputError(
            f"weights {published.name} of {name} are not on this machine and cannot be downloaded "
            f"({error}). Put {file} ({published.meta['_file_size']:.1f} MB, its SHA-256 begins "
            f"with {Path(file).stem.rpartition('-')[2]}) into {folder}, or pass its path as "
            f"weights. It is published at {published.url}."
        ) from error


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
        close = did_you_mean(name.partition(".")[0], timm.list_models())
        hint = close or "See timm.list_models()."
        raise InputError(f"timm has no model {name!r}. {hint}")
    if len(input_shape) != 3:
        raise InputError(f"backbone {name!r} takes images; X has {input_shape[0]} plain features.")
    fetch = weights is not None and not isinstance(weights, Unfetched)
    published = weights == "DEFAULT"
    file = weights_file(weights) if fetch and not published and weights is not None else None
    if fetch and not published and file is None:
        raise InputError(
            f"weights is {weights!r}: there is no such file. Pass 'DEFAULT', with the tag of other "
            f"weights after the name (timm.list_pretrained({name + '*'!r}) lists them)."
        )
    config = timm.get_pretrained_cfg(name)
    fixed = config is not None and config.fixed_input_size
    options: dict[str, Any] = {"img_size": input_shape[1:]} if fixed else {}
    with taking(input_shape), _named_if_offline(name, config):
        model = timm.create_model(name, pretrained=fetch and published, num_classes=0, **options)
    used: Any = model.pretrained_cfg
    if file is not None:
        heads = used.get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else heads
        load_trunk(model, read_state(file), heads, file, name)
    card = {key: tuple(used[key]) for key in ("mean", "std")}
    bare = FeatureClassifier(model, 1, 1, n_channels=3)
    n_features = features_of(bare, input_shape).shape[1]
    return FeatureClassifier(model, n_features, n_classes, n_channels=3, **card)


@contextmanager
def _named_if_offline(name: str, config: Any) -> Iterator[None]:
    """Say which file is wanted where timm cannot download it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        network = isinstance(error, OSError) or "socket" in type(error).__name__.lower()
        if not network or config is None:
            raise
        place = config.url or f"https://huggingface.co/{config.hf_hub_id}, model.safetensors"
        raise InputError(
            f"the weights of timm's {name} are not on this machine and cannot be downloaded "
            f"({error}). Get the file elsewhere ({place}; its size and hash are stated there) and "
            "pass its path as weights."
        ) from error


def _options(name: str, input_shape: Shape, weights: Any) -> dict[str, Any]:
    """Constructor arguments that torchvision sets only when it downloads weights."""
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


def _remove_head(model: nn.Module) -> tuple[int, tuple[str, ...]]:
    """Remove the ImageNet heads of a torchvision model; return the inputs of the last, and names.

    The first name is that of the last head.
    """
    auxiliaries = ("aux1", "aux2", "AuxLogits")
    for auxiliary in auxiliaries:
        if getattr(model, auxiliary, None) is not None:
            setattr(model, auxiliary, None)
    if hasattr(model, "aux_logits"):
        model.aux_logits = False  # type: ignore[assignment]  # torch types attributes as modules
    if type(model).__name__ == "SqueezeNet":  # its head is a 1 x 1 convolution
        model.classifier = nn.AdaptiveAvgPool2d(1)
        return 512, ("classifier",)
    name, layer = last_linear(model)
    model.set_submodule(name, nn.Identity())
    return layer.in_features, (name, *auxiliaries)
