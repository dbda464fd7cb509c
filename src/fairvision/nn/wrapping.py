"""The inputs and outputs of a net trained elsewhere, found by one forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn.finite import check_scores
from fairvision.nn.labels import label_array
from fairvision.nn.modules import PretrainedClassifier, evaluation_mode, pick_output
from fairvision.nn.randomness import isolated_rng

__all__ = [
    "Trace",
    "check_probabilities",
    "check_not_frozen",
    "output_labels",
    "reference_tensor",
    "taking_images",
    "trace",
    "uncompiled",
    "with_features",
]

Shape = tuple[int, ...]

#: Sides of the images that a net is tried with, if nobody says which it takes.
_SIDES = (64, 224, 32, 28, 96, 128, 256, 299, 384, 512)
#: What changes the shape or the type of scores, and not their order.
_RESHAPES = ("View", "Squeeze", "Unsqueeze", "Reshape", "Clone", "ToCopy", "Alias", "Unsafe")
#: What keeps a single score in 0..1 that is there already, or turns it around: 1 - p.
_KEEPS_RANGE = ("Clamp", "Rsub", "Sub", "Slice", "Select")


@dataclass(frozen=True)
class Trace:
    """What a net did with two images.

    Attributes
    ----------
    scores : Tensor of shape (2, ...)
    head : str or None
        Name of the linear layer, or of the last convolution, that gives the scores.
    layer : nn.Module or None
        The layer of that name.
    features : Tensor or None
        What enters that layer.
    ends_in : str
        The last operation: ``"Sigmoid"``, ``"Softmax"``, ...
    """

    scores: Tensor
    head: str | None
    layer: nn.Module | None
    features: Tensor | None
    ends_in: str


@contextmanager
def taking_images(module: nn.Module, images: Tensor) -> Iterator[None]:
    """Turn torch's error at images that a net does not take into one that names their shape."""
    try:
        yield
    except (torch.OutOfMemoryError, InputError):
        raise
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        text = str(error)
        words = ("channels", "shape", "size", "dimension", "height", "width")
        if not any(word in text for word in words):
            raise
        grey = " Repeat grey images: X.repeat(3, axis=1)." if images.shape[1] == 1 else ""
        raise InputError(
            f"{type(module).__name__} does not take images of shape {tuple(images.shape[1:])} "
            f"(channels, height, width): {error}{grey}"
        ) from error


def uncompiled(model: nn.Module) -> nn.Module:
    """The module that `torch.compile` was given: hooks do not run in a compiled one."""
    return getattr(model, "_orig_mod", model)


def trace(model: nn.Module, input_shape: Shape, output: str | int | None = None) -> Trace:
    """Run a model once, and see which layer gives its scores. The model stays as it is."""
    calls: list[tuple[str, nn.Module, Tensor, Tensor]] = []

    def watch(name: str) -> Any:
        return lambda layer, inputs, result: calls.append((name, layer, inputs[0], result))

    handles = [
        layer.register_forward_hook(watch(name))
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d))
    ]
    weight = reference_tensor(model)
    try:
        with isolated_rng(0), evaluation_mode(model), torch.enable_grad():
            images = torch.rand(2, *input_shape).to(weight.device, weight.dtype)
            # Times one: a net may work in place, which a leaf of the graph does not allow.
            scores = pick_output(model(images.requires_grad_() * 1), output)
    finally:
        for handle in handles:
            handle.remove()
    n_outputs = scores.numel() // 2
    # The nodes themselves, not their ids: an older torch makes a node's object anew at each look.
    calls_by_node = {node: call for call in calls if (node := call[3].grad_fn)}
    call = next((calls_by_node[node] for node in _graph(scores) if node in calls_by_node), None)
    if not calls_by_node and calls:  # it computes without gradients
        call = calls[-1]
    if call is None or _width(call[1]) != n_outputs:
        return Trace(scores.detach(), None, None, None, _ends_in(scores))
    name, layer, features, _ = call
    return Trace(scores.detach(), name, layer, features.detach(), _ends_in(scores))


def reference_tensor(model: nn.Module) -> Tensor:
    """A tensor with the device and the floating dtype of a model."""
    tensors = (*model.parameters(), *model.buffers())
    return next((t for t in tensors if t.is_floating_point()), torch.empty(0))


def _width(layer: nn.Module) -> int:
    return layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features  # type: ignore[return-value]


def _graph(scores: Tensor) -> Iterator[Any]:
    """The operations behind the scores, the nearest first."""
    nodes, seen = [scores.grad_fn], set()
    for node in nodes:  # it grows
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            nodes += [before for before, _ in node.next_functions]


def _ends_in(scores: Tensor) -> str:
    node = scores.grad_fn
    # Of two images, so one score each.
    passed = (*_RESHAPES, *_KEEPS_RANGE) if scores.numel() == 2 else _RESHAPES
    while node is not None and node.name().startswith(passed) and node.next_functions:
        node = next((before for before, _ in node.next_functions if before is not None), None)
    return "" if node is None else node.name().partition("Backward")[0]


def with_features(
    model: nn.Module, input_shape: Shape | None = None, output: str | int | None = None
) -> tuple[nn.Module, int]:
    """A model that somebody trained, with ``features(x)`` and ``head``, giving logits.

    It is wrapped in `PretrainedClassifier` unless it has these and gives a logit a class.

    Parameters
    ----------
    model : nn.Module
    input_shape : tuple or None
        What it takes. None tries images of usual sizes.
    output : str, int or None
        Which of several outputs are the logits.

    Returns
    -------
    model : nn.Module
    n_outputs : int
        Columns of its own output; 1 is a single score for the second of two classes.

    Raises
    ------
    InputError
        If it takes no such images, or gives something else than a row of scores an image.
    """
    if not isinstance(model, nn.Module):
        hint = " Load it into its net with load_state_dict." if isinstance(model, Mapping) else ""
        raise InputError(f"module is a {type(model).__name__}; pass a torch.nn.Module.{hint}")
    model = uncompiled(model)
    if any(weight.is_meta for weight in model.parameters()):
        raise InputError(
            f"{type(model).__name__} has weights on the device 'meta', which holds no values. Load "
            "its weights with load_state_dict(weights, assign=True)."
        )
    if isinstance(model, PretrainedClassifier):
        return model, _settled(model.model, input_shape, model.output)[1]
    seen, n_outputs, output_kind = _settled(model, input_shape, output)
    plain = output is None and output_kind == "logits" and n_outputs > 1 and seen.scores.ndim == 2
    if plain and _is_own(model, seen):
        return model, n_outputs
    return PretrainedClassifier(model, seen.head, output=output, gives=output_kind), n_outputs


def _is_own(model: nn.Module, seen: Trace) -> bool:
    """Whether the model's own `.features` are what enters its own `.head`.

    A *submodule* called `features`, as many models of torchvision have, may stop short of it.
    """
    features = getattr(model, "features", None)
    return (
        callable(features)
        and not isinstance(features, nn.Module)
        and isinstance(seen.layer, nn.Linear)
        and getattr(model, "head", None) is seen.layer
    )


def _settled(
    model: nn.Module, input_shape: Shape | None, output: str | int | None
) -> tuple[Trace, int, str]:
    """The trace, the number of outputs, and whether they are logits or probabilities."""
    seen = _trace_any(model, [input_shape] if input_shape else list(_guesses(model)), output)
    scores, name = seen.scores, type(model).__name__
    shape = tuple(scores.shape)
    if not scores.is_floating_point() or shape[:1] != (2,) or any(n > 1 for n in shape[2:]):
        raise InputError(
            f"{name} gives {scores.dtype} of shape {shape} for two images; expected a floating "
            "tensor with a row of logits for each image. Wrap it in a module that gives that."
        )
    rows = scores.float().reshape(2, -1)
    n_outputs = rows.shape[1]
    unit = bool((rows >= 0).all() and (rows <= 1).all())
    if n_outputs == 1:
        is_probability = unit and seen.ends_in in ("Sigmoid", "Hardsigmoid")
        return seen, 1, "probabilities" if is_probability else "logits"
    # Before the sums are looked at: those of separate sigmoids may be one by chance.
    if seen.ends_in == "Sigmoid":
        raise InputError(
            f"{name} ends in a sigmoid for each of {n_outputs} outputs: they are independent "
            "labels, not exclusive classes. Pass a net that returns only one of them."
        )
    if unit and torch.allclose(rows.sum(1), torch.ones(2, device=rows.device), atol=1e-2):
        return seen, n_outputs, "probabilities"
    return seen, n_outputs, "logits"


def _trace_any(model: nn.Module, shapes: Sequence[Shape], output: str | int | None) -> Trace:
    """The trace of the first shape that the model takes."""
    error: Exception | None = None
    for shape in shapes:
        try:
            return trace(model, shape, output)
        except InputError:
            raise
        except Exception as raised:  # a net may raise anything at images that it does not take
            error = raised
    tried = ", ".join(map(str, shapes))
    raise InputError(
        f"{type(model).__name__} does not take images of shape {tried} (channels, height, width): "
        f"{error} Pass input_shape=(n_channels, height, width) of the images that the net takes."
    ) from error


def _guesses(model: nn.Module) -> Iterator[Shape]:
    """Shapes that a model may take, by its first layer with weights."""
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    first = layers[0] if layers else None
    if isinstance(first, nn.Linear):
        for n_channels in (3, 1):
            side = math.isqrt(first.in_features // n_channels)
            if n_channels * side**2 == first.in_features:
                yield (n_channels, side, side)
        yield (first.in_features,)  # a table: features, say
    n_channels = first.in_channels if isinstance(first, nn.Conv2d) else 3
    yield from ((n_channels, side, side) for side in _SIDES)


def output_labels(classes: Any, n_outputs: int) -> NDArray[Any]:
    """The labels of a net's outputs, in their order.

    Raises
    ------
    InputError
        If they are not a list, a label is repeated, or their number is not that of the outputs.
    """
    labels = label_array(classes)
    if len(labels) != max(n_outputs, 2):
        raise InputError(
            f"classes has {len(labels)} labels, the model's last linear layer "
            f"{n_outputs} output(s). Pass one label per output, in their order."
        )
    return labels


def check_probabilities(scores: NDArray[np.float64], classes: NDArray[Any]) -> NDArray[np.float64]:
    """Refuse scores that are not finite, or not one for each class."""
    if scores.shape[1:] != (len(classes),):
        raise InputError(
            f"The net gives {scores.shape[1:]} scores an image; there are {len(classes)} classes, "
            f"{classes.tolist()}. Pass images of the size that it was trained on."
        )
    return check_scores(scores, "The net")


def check_not_frozen(module: nn.Module) -> None:
    """Refuse to train a net whose weights are all frozen."""
    if not any(weight.requires_grad for weight in module.parameters()):
        raise InputError(
            f"All weights of {type(module).__name__} are frozen, so there is nothing to train. "
            "Call requires_grad_(True) on the weights to train, or put the wrapped net into "
            "sklearn.frozen.FrozenEstimator to use it as it is."
        )
