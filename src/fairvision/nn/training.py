"""The steps between a checked `fit` and a trained net, and from a trained net to outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor, nn

from fairvision.base import take
from fairvision.nn.acceleration import accelerated
from fairvision.nn.checks import hold_out, training_rows
from fairvision.nn.distributed import (
    AcceleratedNet,
    check_same_rows,
    precision_of,
    process_group_of,
)
from fairvision.nn.net import OPTIMIZERS, ObjectiveNet, inference_size
from fairvision.nn.objective import Objective, TrainingContext
from fairvision.nn.prefetch import prefetch
from fairvision.nn.randomness import as_seed, isolated_rng
from fairvision.nn.rows import Rows, scale
from fairvision.nn.wrapping import check_trainable, reference_tensor, taking_images

__all__ = ["apply_module", "train"]


def train(
    estimator: Any, objective: Objective, context: TrainingContext, columns: Any
) -> tuple[ObjectiveNet, Mapping[str, Any]]:
    """Train a new module with an objective.

    Parameters
    ----------
    estimator : TorchClassifier
    objective : Objective
    context : TrainingContext
    columns : tuple
        Images, class codes, group codes and sample weights.

    Returns
    -------
    net : ObjectiveNet
    attributes : mapping
        For the fitted estimator: `Objective.fitted_attributes`.
    """
    group = process_group_of(estimator.accelerator)
    rows = training_rows(*columns, dtype=context.dtype)
    all_rows = Rows(*columns, dtype=context.dtype)
    check_same_rows(group, rows)
    all_rows.process_group = rows.process_group = group
    seed, held_out = group.broadcast(as_seed(estimator.random_state)), None
    with isolated_rng(seed, context.device):
        module = objective.make_module(partial(estimator._build, estimator.weights), context)
        if estimator.max_epochs:
            check_trainable(module)
        net = _make_net(estimator, module.to(context.device, context.dtype), objective, context)
        if estimator.validation_fraction:
            rows, held_out = hold_out(rows, estimator.validation_fraction, seed)
        precision = precision_of(estimator.accelerator, estimator.amp)
        with (
            accelerated(module, compile=estimator.compile, precision=precision),
            group.gathered_outputs(module),
        ):
            net.train(rows, held_out, context)
        with group.gathered_outputs(module):
            return net, objective.fitted_attributes(module, all_rows)


def _make_net(
    estimator: Any, module: nn.Module, objective: Objective, context: TrainingContext
) -> ObjectiveNet:
    """The net that trains a module with the parameters of a `TorchClassifier`."""
    make, rank = ObjectiveNet, 0
    optimizer, accelerator = estimator.optimizer, estimator.accelerator
    if accelerator is not None:
        make = partial(AcceleratedNet, accelerator=accelerator)  # type: ignore[assignment]
        rank = accelerator.process_index
    callbacks = clone(list(estimator.callbacks or ()), safe=False)
    return make(
        module,
        objective=objective,
        train_transform=estimator.train_transform,
        criterion=nn.CrossEntropyLoss,
        optimizer=OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer,
        lr=estimator.lr,
        optimizer__weight_decay=estimator.weight_decay,
        max_epochs=estimator.max_epochs,
        batch_size=estimator.batch_size,
        train_split=None,
        callbacks=[*callbacks, *objective.callbacks(context)],
        classes=np.arange(len(context.classes)),
        device=str(context.device),
        verbose=0 if rank else estimator.verbose,
    )


def apply_module(
    module: nn.Module, function: Callable[[Tensor], Tensor], X: Any, batch_size: int
) -> NDArray[Any]:
    """Apply a function of a module to batches of scaled images, in evaluation mode."""
    weight = reference_tensor(module)
    size = inference_size(batch_size, weight.device)
    outputs = []
    module.eval()
    with torch.inference_mode():
        # By index, which copies: a module may work in place, and X is not ours.
        batches = np.array_split(np.arange(len(X)), range(size, len(X), size))
        for batch in prefetch(partial(take, X), batches, X):
            images = scale(batch, weight.device, weight.dtype)
            with taking_images(module, images):
                result = function(images).cpu()
            half = result.dtype in (torch.bfloat16, torch.float16)  # numpy knows no bfloat16
            outputs.append((result.float() if half else result).numpy())
    return np.concatenate(outputs)
