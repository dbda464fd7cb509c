"""`FeatureExtractor`: a frozen pretrained net as a scikit-learn transformer."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from fairvision.base import (
    all_or_nothing,
    check_form,
    check_images,
    check_numbers,
    did_you_mean,
    fitted_attributes,
    is_paths,
    take,
)
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn.backbones import Backbone, Unfetched, build_classifier
from fairvision.nn.checks import check_shape
from fairvision.nn.device import choose_device, device_or_cpu
from fairvision.nn.feature_cache import FeatureCache
from fairvision.nn.finite import check_scores
from fairvision.nn.identity import fingerprint
from fairvision.nn.modules import FeatureClassifier, PretrainedClassifier
from fairvision.nn.net import inference_size
from fairvision.nn.prefetch import prefetch
from fairvision.nn.pretrained import taking, trained_size
from fairvision.nn.randomness import isolated_rng
from fairvision.nn.rows import scale
from fairvision.nn.state import check_structure, get_tensors, put_tensors

__all__ = ["FeatureExtractor"]

_VERSION = 2  # of how features are computed: a new one makes new names in a cache


@dataclass(eq=False, repr=False)
class FeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Compute the features of a pretrained net, which is not trained.

    Images are resized on the device, normalised as the weights require, and passed through the
    net once. The extractor learns nothing from the data, so test rows do not leak through it.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="mobilenet_v2"
        As in `TorchClassifier`: the name of a classifier of `torchvision.models`,
        ``"timm:NAME"``, or a module of yours that returns features or has ``features(x)``
        and ``head``.
    weights : str, path-like or None, default=None
        The path of a state dict (torchvision's or timm's own file, or one that you trained);
        ``"package:NAME"``, one in an installed package; ``"DEFAULT"`` or another published
        name, downloaded. It must fit in all but the head. None leaves a module of yours as
        it is, and gives a named net random weights, with a warning.
    layer : str or None, default=None
        Name of the layer that gives the features, as in ``named_modules()``: ``"features.14"``.
        None takes the input of the net's head.
    image_size : int, (height, width) or None, default=None
        Size to which images are resized, ignoring their aspect ratio. None takes the size that
        the weights were trained at; if that is unknown, images are not resized.
    batch_size : int, default=64
        Images at a time: on a CPU at most 16 of 96 x 96 pixels or more, which is faster;
        four times as many on a GPU.
    cache : path-like or None, default=None
        Folder for the features. They are identified by a hash of the net, its weights, `layer`
        and the size, and by each picture: the path, size and modification time of an image file,
        or else the pixels. So features of a replaced picture are computed again, a killed pass
        resumes, and processes can share the folder. For your own module, the hash does not cover
        the code of `forward`.
    device : str, default="auto"
        A torch device; ``"auto"`` takes CUDA if there is one.

    Attributes
    ----------
    module_ : nn.Module
        Images in 0..1 to features.
    n_features_in_ : int
        Channels of an image.
    input_shape_ : tuple (n_channels, height, width)
        Shape of the images given to `fit`. If images are resized, later ones may differ in size.
    feature_shape_ : tuple
        Of the features of one image: (n_features,) or (channels, height, width).
    identity_ : str
        A hash of everything that decides an image's features: the net, its weights, the size.

    Examples
    --------
    >>> from fairvision.datasets import load
    >>> from fairvision.nn import FeatureExtractor
    >>> import torchvision
    >>> faces = load("faces", n_samples=20, image_size=32, random_state=0)
    >>> net = torchvision.models.squeezenet1_1().features
    >>> FeatureExtractor(net, layer="2", image_size=64).fit_transform(faces.images).shape
    (20, 64, 15, 15)
    """

    # Of the machine, not of the features.
    __fairvision_unsaved__: ClassVar = ("cache",)

    backbone: Backbone = "mobilenet_v2"
    weights: str | PathLike[str] | None = None
    _: KW_ONLY
    layer: str | None = None
    image_size: int | tuple[int, int] | None = None
    batch_size: int = 64
    cache: str | PathLike[str] | None = None
    device: str = "auto"

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Build the net; nothing is learned from the images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
            uint8 in 0..255 or floating in 0..1, or a lazy image sequence.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            If there is no such backbone, file of weights, layer or device, or the weights
            are of another net.
        """
        weights = None if self.weights is None else str(self.weights)
        if is_paths(X):
            size = self._trained_at(weights)
            X = check_form(X, shape=None if size is None else (3, *size))
        X = check_images(X)
        check_numbers(self, "batch_size", low=1, whole=True)
        device = choose_device(self.device)
        if isinstance(self.backbone, str) and self.weights is None:
            warnings.warn(
                f"FeatureExtractor(backbone={self.backbone!r}) has random weights, since weights "
                "is None. Pass weights='DEFAULT', or the path of a state dict.",
                FairvisionWarning,
                stacklevel=3,
            )
        self.n_features_in_ = int(X.shape[1])
        self.input_shape_ = tuple(int(size) for size in X.shape[1:])
        module = self._build(weights)
        self.feature_shape_ = _feature_shape(module, self.input_shape_)
        self.identity_ = _identity(module, self.feature_shape_)
        self.module_ = module.to(device).to(memory_format=self._memory_format(device))
        return self

    def _memory_format(self, device: torch.device) -> torch.memory_format:
        # A CPU is faster with channels last. Nets of torchvision and timm take any format;
        # a module of yours may call `view`, which does not.
        fast = isinstance(self.backbone, str) and device.type == "cpu"
        return torch.channels_last if fast else torch.contiguous_format

    def _trained_at(self, weights: str | None) -> tuple[int, int] | None:
        """Height and width to which images are resized, where they are known."""
        size = _size(self.image_size)
        return trained_size(self.backbone, weights) if size is None else size

    def _build(self, weights: str | None) -> nn.Module:
        """The module that computes the features, on the CPU."""
        size, shape = self._trained_at(weights), self.input_shape_
        # Weights that are not given are the same each time; of a net's own head nobody asks.
        with isolated_rng(0), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The backbone .* ends in", FairvisionWarning)
            if isinstance(self.backbone, PretrainedClassifier):  # it has any number of outputs
                net: nn.Module = copy.deepcopy(self.backbone).cpu()
            else:
                net = build_classifier(self.backbone, weights, (shape[0], *(size or shape[1:])), 2)
        return Extraction(net, size, self.layer).requires_grad_(False).eval()

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The features of images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, height, width)
            Read a batch at a time.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or (n_samples, channels, height, width), \
float32
            Four dimensions where `layer` gives maps. Read-only, and mapped into memory,
            where all come from `cache` in its order.
        """
        check_is_fitted(self)
        container = _get_output_config("transform", self)["dense"]
        if len(self.feature_shape_) > 1 and container != "default":
            raise InputError(
                f"set_output asks for {container}, but layer {self.layer!r} gives maps of shape "
                f"{self.feature_shape_}, which are no table. Pass "
                "set_output(transform='default'), or leave layer=None for a table."
            )
        X = self._check_input(X)
        if self.cache is None:
            return self._compute(X)
        return FeatureCache(self.cache, self.identity_, self.feature_shape_).read(X, self._compute)

    def _check_input(self, X: Any) -> Any:
        resized = self.module_.size is not None
        height, width = self.module_.size if resized else self.input_shape_[1:]  # type: ignore[misc]
        X = check_form(X, shape=(self.n_features_in_, height, width))
        X = check_images(X, fitted_shape=None if resized else self.input_shape_)
        if X.shape[1] != self.n_features_in_:
            raise InputError(
                f"X has {X.shape[1]} channels; the extractor was fitted on {self.n_features_in_}. "
                "Convert the images alike."
            )
        return X

    def _compute(self, X: Any) -> NDArray[np.float32]:
        weight = next(self.module_.parameters(), torch.empty(0))
        pixels: Any = self.module_.size or X.shape[1:]
        size = inference_size(self.batch_size, weight.device, pixels)
        # By index, which copies: a module may work in place, and X is not ours.
        batches = np.array_split(np.arange(len(X)), range(size, len(X), size))
        out = np.empty((len(X), *self.feature_shape_), dtype=np.float32)
        start = 0
        memory_format = self._memory_format(weight.device)
        with torch.inference_mode():
            for batch in prefetch(partial(take, X), batches, X):
                images = scale(batch, weight.device, weight.dtype)
                features = self.module_(images.contiguous(memory_format=memory_format))
                out[start : start + len(batch)] = features.float().cpu().numpy()
                start += len(batch)
        return check_scores(out, type(self.module_.net).__name__, "features")

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the features: ``"featureextractor0"`` and so on.

        Raises
        ------
        InputError
            If the features are maps, which have no columns.
        """
        check_is_fitted(self)
        if len(self.feature_shape_) > 1:
            raise InputError(
                f"layer {self.layer!r} gives maps of shape {self.feature_shape_}, which have no "
                "columns to name. Leave layer=None for a table."
            )
        return super().get_feature_names_out(input_features)

    @property
    def _n_features_out(self) -> int:  # scikit-learn's name
        return int(np.prod(self.feature_shape_))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __fairvision_module__(self) -> nn.Module:
        """Images to features, for `as_module` of a Pipeline."""
        check_is_fitted(self)
        return self.module_

    def __fairvision_getstate__(self) -> dict[str, Any]:
        """What `fit` found, the module as its tensors."""
        state = fitted_attributes(self)
        if "module_" in state:
            state["module_"] = get_tensors(self.module_)
        return state

    def __fairvision_setstate__(self, state: Mapping[str, Any]) -> None:
        """Build the module again, fetching nothing, and give it its tensors."""
        for name in state.keys() - {"module_"}:
            setattr(self, name, state[name])
        if "module_" not in state:
            return
        check_shape(self.input_shape_)
        make = partial(self._build, None if self.weights is None else Unfetched(self.weights))
        check_structure(make, self.input_shape_, state["module_"])
        module = make()
        put_tensors(module, state["module_"])
        device = device_or_cpu(self.device)  # it may have been saved on another machine
        self.module_ = module.to(device).to(memory_format=self._memory_format(device)).eval()


class Extraction(nn.Module):
    """Images in 0..1 to the features of a net, or of one of its layers.

    Parameters
    ----------
    net : nn.Module
        With ``features(x)``.
    size : tuple (height, width) or None
        To which images are resized.
    layer : str or None
    """

    def __init__(self, net: nn.Module, size: tuple[int, int] | None, layer: str | None) -> None:
        super().__init__()
        self.net = net
        self.size = size
        self.layer = layer
        if layer is not None:
            self._layer()

    def _layer(self) -> nn.Module:
        net, layer = self.net, str(self.layer)
        if isinstance(net, FeatureClassifier):
            net = net.trunk
        elif isinstance(net, PretrainedClassifier):
            net = net.model
        names = [name for name, _ in net.named_modules() if name]
        if layer not in names:
            hint = did_you_mean(layer, names) or f"It has {names[:10]}."
            raise InputError(f"the net has no layer {self.layer!r}. {hint}")
        return net.get_submodule(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (n, n_features), or maps (n, channels, height, width)."""
        if self.size is not None and tuple(x.shape[-2:]) != tuple(self.size):
            x = nn.functional.interpolate(x, self.size, mode="bilinear", antialias=True)
        if self.layer is None:
            return self.net.features(x)  # type: ignore[operator]
        features = self._inner(x)
        return features if features.ndim == 4 else features.flatten(1)

    def _inner(self, x: Tensor) -> Tensor:
        """What the layer gives; the rest of the net is not run."""
        outputs: list[Any] = []

        def keep(module: nn.Module, args: Any, output: Any) -> None:
            # An exporter follows no exception, and must not see later work in place.
            exporting = torch.compiler.is_compiling()
            outputs.append(output.clone() if exporting else output)
            if not exporting:
                raise _Reached

        handle = self._layer().register_forward_hook(keep)
        try:
            self.net.features(x)  # type: ignore[operator]
        except _Reached:
            pass
        finally:
            handle.remove()
        if not outputs or not isinstance(outputs[0], Tensor):
            raise InputError(
                f"layer {self.layer!r} gives {type(outputs[0]).__name__ if outputs else 'nothing'} "
                "and not a tensor. Name another layer."
            )
        return outputs[0]


class _Reached(Exception):
    """The layer whose output is wanted has run."""


def _identity(module: Any, feature_shape: tuple[int, ...]) -> str:
    """A hash of an `Extraction`; the head of a named net has no part in it."""
    net = module.net
    parts: list[Any] = [repr(net), get_tensors(net)]
    if isinstance(net, FeatureClassifier):
        parts = [repr(net.trunk), get_tensors(net.trunk), net.mean, net.std, net.n_channels]
    return fingerprint(_VERSION, parts, module.layer, module.size, feature_shape)


def _size(image_size: Any) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sizes = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    whole = all(isinstance(size, (int, np.integer)) and size > 0 for size in sizes)
    if len(sizes) != 2 or not whole:
        raise InputError(f"image_size is {image_size!r}; pass an int or (height, width).")
    return int(sizes[0]), int(sizes[1])


def _feature_shape(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the features of one image."""
    weight = next(module.parameters(), torch.empty(0))
    with taking(input_shape), torch.inference_mode():
        features = module(torch.zeros(2, *input_shape, dtype=weight.dtype))
    return tuple(features.shape[1:])
