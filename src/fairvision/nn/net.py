"""The skorch net inside a `TorchClassifier`: its loop and callbacks, our batches and objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import isfinite
from typing import Any

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping, PassthroughScoring
from torch import Tensor

from fairvision.exceptions import InputError
from fairvision.nn.checkpoint import CheckpointFile, TrainingCheckpoint
from fairvision.nn.finite import (
    check_loss,
    check_weights_finite,
    fetch_numbers,
    numeric_errors,
)
from fairvision.nn.objective import Objective, TrainingContext, cross_entropy
from fairvision.nn.rows import Batch, Batches, Rows, Transform
from fairvision.nn.warm_start import load_optimizer

__all__ = ["OPTIMIZERS", "ObjectiveNet", "inference_size"]

#: From this many pixels per image, a CPU runs few images at a time; and their number.
_LARGE, _LARGE_BATCH = 96 * 96, 16

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


def inference_size(batch_size: int, device: torch.device | str, size: Sequence[int] = ()) -> int:
    """How many images to run at a time where no gradients are kept.

    A GPU has room for four times `batch_size`. On a CPU few large images are faster, since
    what the layers compute stays in its cache: 64 images of 224 x 224 pixels take MobileNetV2
    twice as long at once as in four batches of 16.

    Parameters
    ----------
    batch_size : int
    device : torch.device or str
    size : sequence of int
        The shape of one image, or its height and width; of a row of a table one number.
    """
    if torch.device(device).type != "cpu":
        return 4 * batch_size
    large = len(size) > 1 and size[-2] * size[-1] >= _LARGE
    return min(batch_size, _LARGE_BATCH) if large else batch_size


@contextmanager
def _rows_for_batch_norm(n_rows: int) -> Iterator[None]:
    """Explain the error that batch normalisation raises for a batch of one row."""
    try:
        yield
    except ValueError as error:
        if n_rows > 1 or "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "A batch has one row, and the net has batch normalisation, which needs two. Pass "
            f"batch_size=2 or more. ({error})"
        ) from error


class ObjectiveNet(NeuralNetClassifier):
    """A skorch net whose batches carry groups and weights, and whose loss is an objective.

    Parameters
    ----------
    module : nn.Module
        An initialised module.
    objective : Objective
    train_transform : callable or None
        Applied to training batches only.
    **kwargs
        skorch's own parameters.
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        objective: Objective,
        train_transform: Transform | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, **kwargs)
        self.objective = objective
        #: Names of the modules that stay in evaluation mode.
        self.frozen: tuple[str, ...] = ()
        #: What made training faster: `TorchClassifier.accelerations_`.
        self.accelerations: tuple[str, ...] = ()
        # Wrapped in a function, because skorch trains every module that it holds, and
        # torchvision's transforms are modules.
        self.train_transform = None if train_transform is None else partial(train_transform)

    @property
    def _default_callbacks(self) -> list[Any]:
        names = self.objective.logged
        logged = [(name, PassthroughScoring(name=name, on_train=True)) for name in names]
        return [*logged, *super()._default_callbacks]

    def check_data(self, X: Any, y: Any = None) -> None:
        """Do nothing: the estimator has checked its input already."""

    def get_split_datasets(
        self, X: tuple[Rows, Rows | None], y: Any = None, **fit_params: Any
    ) -> tuple[Rows, Rows | None]:
        return X  # split by the estimator, and not kept: a pickled net holds no images

    def get_iterator(self, dataset: Rows, training: bool = False) -> Batches:
        if not training:
            size = inference_size(self.batch_size, self.device, dataset.images.shape[1:])
            return Batches(dataset, size, self.device, lambda: torch.arange(len(dataset)))
        return Batches(
            dataset,
            self.batch_size,
            self.device,
            lambda: dataset.process_group.broadcast(self.objective.order(self.module_, dataset)),
            self.train_transform,
        )

    def infer(self, x: Batch, **fit_params: Any) -> Tensor:
        return self.module_(x.images)

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Batch | None = None, training: bool = False
    ) -> Tensor:
        return cross_entropy(y_pred, y_true, None if X is None else X.weights)

    def train_step(self, batch: tuple[Batch, Tensor], **fit_params: Any) -> dict[str, Any]:
        with numeric_errors(len(self.history)):
            return super().train_step(batch, **fit_params)

    def train_step_single(self, batch: tuple[Batch, Tensor], **fit_params: Any) -> dict[str, Any]:
        if not self.module_.training:  # a callback may have predicted
            self._set_training(True)
        with numeric_errors(len(self.history)), _rows_for_batch_norm(len(batch[0])):
            step = self.objective.step(self.module_, batch[0])
        if step.loss.device.type == "cpu":
            check_loss(step.loss, len(self.history))  # elsewhere once an epoch
        self.backward(step.loss)
        for name, value in step.logged.items():
            self._record(name, value)
        return {"loss": step.loss, "y_pred": step.logits}

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        for name in self.frozen if training else ():
            self.module_.get_submodule(name).training = False

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """As skorch's, but no step waits for a GPU: values are fetched after the last step."""
        n_batches = 0
        for batch in iterator or ():
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            self._record(f"{prefix}_loss", step["loss"])
            self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
            n_batches += 1
        if iterator is None:
            return
        self.history.record(f"{prefix}_batch_count", n_batches)
        batches = self.history[-1]["batches"]
        fetch_numbers(batches)
        losses = [row["train_loss"] for row in batches if training]
        worst = next((loss for loss in losses if not isfinite(loss)), 0.0)
        check_loss(torch.tensor(worst), len(self.history))

    def _record(self, name: str, value: float | Tensor) -> None:
        if isinstance(value, Tensor):
            value = value.item() if value.device.type == "cpu" else value.detach()
        self.history.record_batch(name, value)

    def backward(self, loss: Tensor) -> None:
        """Give each parameter its gradient."""
        loss.backward()

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self._forget_batches()
        self._set_training(True)
        super().on_epoch_begin(net, **kwargs)

    def _forget_batches(self) -> None:
        # Their means are in the epoch's own row; a dict a batch would outgrow the net.
        if self.history:
            self.history[-1]["batches"] = []

    def train(
        self,
        rows: Rows,
        held_out: Rows | None,
        context: TrainingContext,
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        """Train from the start, or go on from a checkpoint.

        Unlike skorch's `fit`, an interrupt is raised, so that a half-trained net cannot be
        mistaken for a finished one.

        Parameters
        ----------
        rows : Rows
        held_out : Rows or None
            For the validation loss.
        context : TrainingContext
            A checkpoint belongs to its parameters.
        earlier : mapping or None
            The attributes of the fit whose optimizer goes on.
        """
        self.initialize()
        load_optimizer(self.optimizer_, earlier or {})
        self.n_restored_ = 0  # epochs that a checkpoint held
        self.objective.start(self.module_, rows, context)
        self.notify("on_train_begin", X=rows, y=rows.targets)
        # After all callbacks have begun, so that their states can be restored.
        checkpoints = [cb for _, cb in self.callbacks_ if isinstance(cb, TrainingCheckpoint)]
        file = checkpoints[0].open(self, rows, held_out, context.params) if checkpoints else None
        self._train_epochs(rows, held_out, file)
        self.notify("on_train_end", X=rows, y=rows.targets)
        self._forget_batches()
        if file is not None:
            file.close()

    def _train_epochs(self, rows: Rows, held_out: Rows | None, file: CheckpointFile | None) -> None:
        if file is not None and file.finished:
            return
        every = self.max_epochs if file is None else file.every
        try:
            while (left := self.max_epochs - len(self.history)) > 0:
                self.fit_loop((rows, held_out), epochs=min(every, left))
                if file is not None and left > every:
                    file.save()
        except KeyboardInterrupt:
            if not self._stopped_early():
                raise
        check_weights_finite(self.module_, len(self.history))
        if file is not None and file.keep:
            file.save(finished=True)

    def _stopped_early(self) -> bool:
        # skorch's EarlyStopping speaks by raising KeyboardInterrupt, as a keyboard does.
        stoppers = [cb for _, cb in self.callbacks_ if isinstance(cb, EarlyStopping)]
        return any(stopper.misses_ == stopper.patience for stopper in stoppers)
