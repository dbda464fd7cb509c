"""The steps between a checked `fit` and a trained net, and from a trained net to outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor, nn

from fairvision.base import take
from fairvision.exceptions import FairvisionWarning
from fairvision.nn.acceleration import accelerated
from fairvision.nn.backbones import Unfetched, backbone_for, build_classifier
from fairvision.nn.checks import hold_out, training_rows
from fairvision.nn.device import computes_bfloat16, supported_dtype
from fairvision.nn.distributed import AcceleratedNet, precision_of, process_group_of
from fairvision.nn.net import OPTIMIZERS, ObjectiveNet, inference_size
from fairvision.nn.objective import Objective, TrainingContext
from fairvision.nn.prefetch import prefetch
from fairvision.nn.prefix import find_prefix, frozen_modules
from fairvision.nn.probe import LINEAR, set_statistics, start_at_shares
from fairvision.nn.randomness import as_seed, isolated_rng
from fairvision.nn.rows import Rows, scale
from fairvision.nn.trainable import choose_trainable, parameter_groups
from fairvision.nn.warm_start import later_seed, load_weights
from fairvision.nn.wrapping import check_not_frozen, reference_tensor, taking_images

__all__ = ["apply_module", "build_module", "context_of", "train", "unfetched_module"]

#: Bytes of outputs that stay on the device until they are fetched.
_WAITING = 2**28


def context_of(estimator: Any, device: torch.device) -> TrainingContext:
    """What an objective may know of the training of a `TorchClassifier`."""
    shape, groups = estimator.input_shape_, getattr(estimator, "groups_", None)
    # Tables are small and often badly scaled: double costs nothing there. A subclass may choose.
    usual = torch.float64 if len(shape) == 1 else torch.float32
    dtype = supported_dtype(getattr(estimator, "_dtype", usual), device)
    params = estimator.get_params(deep=False)
    return TrainingContext(shape, estimator.classes_, groups, device, dtype, params)


def build_module(estimator: Any, weights: str | None) -> nn.Module:
    """A new classifier from the estimator's backbone, on the CPU."""
    shape = estimator.input_shape_
    backbone = backbone_for(estimator.backbone, shape)
    module = build_classifier(backbone, weights, shape, len(estimator.classes_))
    choose_trainable(module, estimator.trainable)
    return module


def unfetched_module(estimator: Any, objective: Objective, context: TrainingContext) -> nn.Module:
    """A module of the structure of the estimator's, fetching nothing, for weights to come."""
    weights = None if estimator.weights is None else Unfetched(estimator.weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FairvisionWarning)  # `fit` said it already
        return objective.make_module(partial(build_module, estimator, weights), context)


def train(
    estimator: Any,
    objective: Objective,
    context: TrainingContext,
    columns: Any,
    validation: Any = None,
    earlier: Mapping[str, Any] | None = None,
) -> tuple[ObjectiveNet, Mapping[str, Any]]:
    """Train a new module with an objective.

    Parameters
    ----------
    estimator : TorchClassifier
    objective : Objective
    context : TrainingContext
    columns : tuple
        Images, class codes, group codes and sample weights.
    validation : tuple or None
        Images and class codes for the validation loss.
    earlier : mapping or None
        The attributes of the fit to go on from: `earlier_fit`.

    Returns
    -------
    net : ObjectiveNet
    attributes : mapping
        For the fitted estimator: `Objective.fitted_attributes`.
    """
    group = process_group_of(estimator.accelerator)
    rows = training_rows(*columns, dtype=context.dtype)
    all_rows = Rows(*columns, dtype=context.dtype)
    held_out = None if validation is None else Rows(*validation, dtype=context.dtype)
    for each in (rows, all_rows, held_out):
        if each is not None:
            each.share(group)
    seed = group.broadcast(as_seed(estimator.random_state))
    drawn, deterministic = later_seed(seed, earlier or {}), estimator.deterministic
    with isolated_rng(drawn, context.device, deterministic=deterministic):
        if earlier:
            module = unfetched_module(estimator, objective, context)
        else:
            build = partial(build_module, estimator, estimator.weights)
            module = objective.make_module(build, context)
        module.to(context.device, context.dtype)
        load_weights(module, earlier or {})
        if estimator.max_epochs:
            check_not_frozen(module)
        net = _make_net(estimator, module, objective, context)
        if estimator.validation_fraction:
            rows, held_out = hold_out(rows, estimator.validation_fraction, seed)
        new = set_statistics(module, rows, context.device)
        if new and type(objective).order is Objective.order:  # another may balance the classes
            start_at_shares(module, rows)
        with _without_frozen_prefix(estimator, objective, net, rows, held_out) as (rows, held_out):
            with (
                _accelerated(estimator, net, context, rows, held_out),
                group.gathered_outputs(module),
            ):
                net.train(rows, held_out, context, earlier)
            with group.gathered_outputs(module):
                return net, objective.fitted_attributes(module, all_rows)


def _accelerated(
    estimator: Any, net: ObjectiveNet, context: TrainingContext, rows: Rows, held_out: Rows | None
) -> AbstractContextManager[None]:
    """Train with what the estimator asks for and, on CUDA, with what always pays there."""
    cuda, accelerator = context.device.type == "cuda", estimator.accelerator
    amp = estimator.amp
    if amp == "auto":
        on_maps = len(context.input_shape) == 3 and estimator.backbone != LINEAR
        single = accelerator is None and context.dtype == torch.float32
        # Of a sigmoid in bfloat16 nothing is left to 1 above a logit of 6.
        logits = getattr(net.module, "gives", None) != "probabilities"
        amp = cuda and on_maps and single and logits and computes_bfloat16(context.device)
    precision = precision_of(accelerator, amp)
    mixed = cuda and precision is not None
    channels_last = mixed and _published(estimator.backbone)
    chosen = {
        str(precision).removeprefix("torch."): mixed,
        "channels last": channels_last,
        "fused optimizer": hasattr(net, "optimizer__fused"),
        "images on device": rows.keep_on(context.device),
    }
    if held_out is not None:
        held_out.keep_on(context.device)
    net.accelerations = tuple(name for name, used in chosen.items() if used)
    return accelerated(
        net.module, compile=estimator.compile, precision=precision, channels_last=channels_last
    )


def _published(backbone: Any) -> bool:
    """Whether it is known to compute with channels last: a user's net may call `view`."""
    named = isinstance(backbone, str)
    return named and (":" not in backbone or backbone.startswith("timm:"))


@contextmanager
def _without_frozen_prefix(
    estimator: Any, objective: Objective, net: ObjectiveNet, rows: Rows, held_out: Rows | None
) -> Iterator[tuple[Rows, Rows | None]]:
    """Freeze what is not trained; what runs before all else is computed once, here.

    Not for images that differ from epoch to epoch, nor in several processes, nor compiled,
    nor for an objective that reads pixels.
    """
    frozen = estimator.trainable != "all"
    if not frozen and not (estimator.backbone == LINEAR and len(estimator.input_shape_) == 3):
        yield rows, held_out
        return
    moving = estimator.train_transform is not None or objective.needs_pixels or estimator.compile
    some = rows.batch(torch.arange(min(len(rows), 2)), net.device).images
    if frozen:
        net.frozen = frozen_modules(net.module, some)
    prefix = None
    if rows.fixed and not moving:
        prefix = find_prefix(net.module, some) if rows.process_group.size == 1 else None
    if prefix is None:
        yield rows, held_out
        return
    with prefix.left_out():
        yield prefix.store(rows), None if held_out is None else prefix.store(held_out)


def _make_net(
    estimator: Any, module: nn.Module, objective: Objective, context: TrainingContext
) -> ObjectiveNet:
    """The net that trains a module with the parameters of a `TorchClassifier`."""
    make, rank = ObjectiveNet, 0
    optimizer, accelerator = estimator.optimizer, estimator.accelerator
    if accelerator is not None:
        make = partial(AcceleratedNet, accelerator=accelerator)  # type: ignore[assignment]
        rank = accelerator.process_index
    # Custom optimizers may know no such setting, and gradient scalers step otherwise.
    fused = context.device.type == "cuda" and isinstance(optimizer, str) and accelerator is None
    callbacks = clone(list(estimator.callbacks or ()), safe=False)
    return make(
        module,
        objective=objective,
        train_transform=estimator.train_transform,
        criterion=nn.CrossEntropyLoss,
        optimizer=OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer,
        lr=estimator.lr,
        optimizer__weight_decay=estimator.weight_decay,
        **({"optimizer__fused": True} if fused else {}),
        max_epochs=estimator.max_epochs,
        batch_size=estimator.batch_size,
        train_split=None,
        callbacks=[*callbacks, *objective.callbacks(context)],
        classes=np.arange(len(context.classes)),
        device=str(context.device),
        verbose=0 if rank else estimator.verbose,
        **parameter_groups(module, estimator.trunk_lr),
    )


def apply_module(
    module: nn.Module, function: Callable[[Tensor], Tensor], X: Any, batch_size: int
) -> NDArray[Any]:
    """Apply a function of a module to batches of scaled images, in evaluation mode."""
    weight = reference_tensor(module)
    size = inference_size(batch_size, weight.device, X.shape[1:])
    outputs, waiting = [], 0
    module.eval()
    with torch.inference_mode():
        batches: list[Any] = np.array_split(np.arange(len(X)), range(size, len(X), size))
        if weight.device.type == "cuda":  # the images are copied there, and so need not be here
            batches = [slice(rows[0], rows[-1] + 1) for rows in batches]
        # By index, which copies: a module may work in place, and X is not ours.
        for batch in prefetch(partial(take, X), batches, X):
            images = scale(batch, weight.device, weight.dtype)
            with taking_images(module, images):
                result = function(images)
            half = result.dtype in (torch.bfloat16, torch.float16)  # numpy knows no bfloat16
            outputs.append(result.float() if half else result)
            waiting += result.nbytes
            if waiting > _WAITING:  # fetching each batch would make the next one wait
                outputs, waiting = [output.cpu() for output in outputs], 0
        return np.concatenate([output.cpu().numpy() for output in outputs])
