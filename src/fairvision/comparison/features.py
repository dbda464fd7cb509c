"""Features of a pretrained net in place of images: computed once, shared by all runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch

from fairvision.base import are_maps, is_images
from fairvision.comparison.plan import MethodPlan
from fairvision.exceptions import InputError, RunError
from fairvision.plugins import RegisteredMethod, default_registry

__all__ = [
    "Features",
    "check_weights",
    "extractor_of",
    "has_features",
    "note",
    "suited_to_form",
    "with_features",
]


class Features:
    """The features of a comparison's images.

    Parameters
    ----------
    extractor : FeatureExtractor
        Cloned. Its net is built here, so that a wrong one raises before any run.
    data : Bunch
        With images.

    Attributes
    ----------
    seconds : float or None
        What computing them took; None before.

    Raises
    ------
    InputError
        If it is no extractor, its net cannot be built, or the data are features already.
    """

    def __init__(self, extractor: Any, data: Bunch) -> None:
        from fairvision.nn import FeatureExtractor  # late: a report is read without torch

        if not isinstance(extractor, FeatureExtractor):
            raise InputError(
                f"features is {extractor!r:.80}; pass a fairvision.nn.FeatureExtractor, which "
                "learns nothing from the rows, or None."
            )
        if has_features(data):
            raise InputError(
                f"features is given, but the data hold features of shape {data.images.shape} and "
                "no images. Leave it out."
            )
        self.extractor = clone(extractor).fit(data.images)
        self.seconds: float | None = None

    def notes(self, data: Bunch) -> list[str]:
        """A warning if images were read smaller than the net sees them."""
        read, seen = tuple(map(int, data.images.shape[2:])), self.extractor.module_.size
        if seen is None or not any(s > r for s, r in zip(seen, read, strict=True)):
            return []
        small, large = ("x".join(map(str, size)) for size in (read, seen))
        return [
            f"Images were read at {small} pixels and enlarged to {large} for the net. Read them at "
            f"that size (image_size={max(seen)}, --image-size {max(seen)}), or give the net the "
            f"smaller ones, which is faster (--features-size {max(read)})."
        ]

    def describe(self) -> dict[str, Any]:
        """The extractor's parameters, and all else that decides the features, as plain data."""
        extractor = self.extractor
        net = extractor.backbone if isinstance(extractor.backbone, str) else "a module"
        names = ("weights", "layer", "image_size", "cache")
        given = {name: getattr(extractor, name) for name in names}
        given = {name: str(v) if isinstance(v, Path) else v for name, v in given.items()}
        size, shape = extractor.module_.size, extractor.feature_shape_
        return {
            "backbone": net,
            **given,
            "identity": extractor.identity_,
            "size": list(size or extractor.input_shape_[1:]),
            "shape": list(shape),
        }

    def extract(self, data: Bunch) -> Bunch:
        """The data with features as its ``images``; the images as ``pictures``, for the report."""
        start = time.perf_counter()
        features = self.extractor.transform(data.images)
        more = {"fit_params": self._replaced(data.fit_params)} if "fit_params" in data else {}
        self.seconds = time.perf_counter() - start
        return Bunch(**{**data, **more, "images": features, "pictures": data.images})

    def _replaced(self, value: Any) -> Any:
        """A parameter of `fit` with features in place of all images in it."""
        if isinstance(value, Mapping):
            kind = Bunch if isinstance(value, Bunch) else dict
            return kind(**{name: self._replaced(inner) for name, inner in value.items()})
        if isinstance(value, (list, tuple)):
            return (list if isinstance(value, list) else tuple)(map(self._replaced, value))
        images = len(getattr(value, "shape", ())) == 4 and not are_maps(value)
        return self.extractor.transform(value) if images else value


def with_features(data: Bunch, **params: Any) -> Bunch:
    """The data with features in place of images.

    Parameters
    ----------
    data : Bunch
        With images.
    **params
        Of `FeatureExtractor`.
    """
    from fairvision.nn import FeatureExtractor

    features = Features(FeatureExtractor(**params), data).extractor.transform(data.images)
    return Bunch(**{**data, "images": features})


def extractor_of(
    described: Mapping[str, Any], shape: Sequence[int], extractor: Any, *, device: str
) -> Any:
    """The extractor of a comparison, fitted on images of that shape, without its cache.

    Parameters
    ----------
    described : mapping
        Of `Features.describe`.
    shape : sequence of int
    extractor : FeatureExtractor or None
        Where it is at hand; else it is made from the description.
    device : str
        That it then computes on.

    Raises
    ------
    RunError
        If it cannot be made, or has other weights.
    """
    from fairvision.nn import FeatureExtractor, device_or_cpu

    if extractor is None and described["backbone"] == "a module":
        raise RunError(
            "the features came from your own module, which the folder does not hold. Call choose "
            "on the Comparison in the Python process that ran it."
        )
    if extractor is None:
        size = described["image_size"]
        extractor = FeatureExtractor(
            described["backbone"],
            described["weights"],
            layer=described["layer"],
            image_size=tuple(size) if isinstance(size, list) else size,
            device=device if device == "auto" else str(device_or_cpu(device)),
        )
    made = clone(extractor).set_params(cache=None)
    made.fit(np.zeros((1, *shape), dtype=np.uint8))
    if made.identity_ != described["identity"]:
        raise RunError(
            f"the weights of {described['backbone']} ({described['weights']}) are not those of "
            "the comparison. Restore the file that the comparison used."
        )
    return made


def note(features: Mapping[str, Any]) -> str:
    """A sentence on the features that the methods were given; from `Features.describe`."""
    of = f", layer {features['layer']}" if features["layer"] else ""
    shape, size = ("x".join(map(str, features[name])) for name in ("shape", "size"))
    return (
        f"Every method was given {shape} features of {features['backbone']}{of}, from images of "
        f"{size} pixels, computed once for all runs."
    )


def check_weights(planned: Sequence[MethodPlan], data: Bunch) -> None:
    """Build each pretrained net that the methods train, so that a wrong one raises before any run.

    Raises
    ------
    InputError
        If there is no such net or file, or the weights are of another net.
    """
    from fairvision.nn import FeatureExtractor, TorchClassifier

    height, width = map(int, data.images.shape[2:])
    checked = set()
    for plan in (p for method in planned for p in (method, method.model) if p is not None):
        params = plan.params
        if plan.estimator is not None:
            # The input shape of a net in a Pipeline is not known yet.
            estimator = plan.estimator
            params = (
                estimator.get_params(deep=False) if isinstance(estimator, TorchClassifier) else {}
            )
        net = params.get("backbone", "small-cnn"), params.get("weights")
        if isinstance(net[0], str) and net[1] is not None and net not in checked:
            FeatureExtractor(*net, image_size=(height, width), device="cpu").fit(data.images)
            checked.add(net)


def has_features(data: Bunch) -> bool:
    """Whether the data hold features, a table or maps, and no images."""
    return not is_images(data.images) or are_maps(data.images)


def suited_to_form(
    planned: Sequence[MethodPlan], *, features: bool, every: bool
) -> tuple[tuple[MethodPlan, ...], list[str]]:
    """The methods that features, or else images, can be given to.

    Parameters
    ----------
    planned : sequence of MethodPlan
    features : bool
        Whether the methods are given features.
    every : bool
        Whether all methods were asked for: those that need the other form are then left out.

    Returns
    -------
    methods : tuple of MethodPlan
    notes : list of str

    Raises
    ------
    InputError
        If a method that was named needs the other form.
    """
    other = "pixels" if features else "features"
    labels = [method.label for method in planned if _needs(method) == other]
    if not labels:
        return tuple(planned), []
    names = ", ".join(labels)
    if every:
        left = tuple(method for method in planned if method.label not in labels)
        will_do = "images" if features else "features"
        return left, [f"Left out, since only {will_do} will do for it: {names}."]
    need = f"{names} need{'s' if len(labels) == 1 else ''}"
    if features:
        raise InputError(
            f"{need} pixels, and every method is to be given features. Leave out the method, or "
            f"give images without features=.{_presets_on_features(planned)}"
        )
    raise InputError(
        f"{need} features, as its preset asks, and the data are images. Pass "
        "features=FeatureExtractor(...) (`--backbone NET --weights FILE --features`), or another "
        "preset."
    )


def _presets_on_features(planned: Sequence[MethodPlan]) -> str:
    for method in planned:
        if method.is_registered and _needs(method) == "pixels":
            registered = cast(RegisteredMethod, default_registry().find("method", method.name))
            for preset in registered.needs.pixels_except:
                return f" {method.label} takes features with preset={preset!r}."
    return ""


def _needs(method: MethodPlan) -> str:
    """The input form that a method requires: pixels, features, or either."""
    if not method.is_registered:
        return ""
    registered = cast(RegisteredMethod, default_registry().find("method", method.name))
    if method.preset in registered.needs.pixels_except:
        return "features"
    return "pixels" if registered.needs.pixels else ""
