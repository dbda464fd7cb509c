"""Training with an `accelerate.Accelerator`: device, precision and processes."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from fairvision.exceptions import InputError
from fairvision.nn.net import ObjectiveNet
from fairvision.nn.process_group import SINGLE_PROCESS, ProcessGroup

__all__ = ["AcceleratedNet", "check_accelerator", "precision_of", "process_group_of"]

_PRECISIONS = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# These split or wrap the module, so that objectives could not call its `features`.
_REFUSED = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "XLA")


def check_accelerator(accelerator: Any, device: str) -> None:
    """Refuse an `Accelerator` that `TorchClassifier` cannot use. None is valid."""
    if accelerator is None:
        return
    if not hasattr(accelerator, "mixed_precision"):
        raise InputError(
            f"accelerator is {accelerator!r}; pass an accelerate.Accelerator() "
            "(pip install 'fairvision[accelerate]'), or None."
        )
    if device != "auto":
        raise InputError(
            f"device is {device!r}, but the accelerator computes on {accelerator.device}. Leave "
            "device='auto', and choose the device with accelerate."
        )
    kind = getattr(accelerator.distributed_type, "value", "NO")
    if kind in _REFUSED or getattr(accelerator, "parallelism_config", None) is not None:
        raise InputError(
            f"accelerator has distributed type {kind}, which splits the model. Pass one that "
            "keeps a full copy in every process (MULTI_GPU, MULTI_CPU or NO)."
        )
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started > accelerator.num_processes:
        raise InputError(
            f"accelerator has {accelerator.num_processes} process(es), but {started} were "
            "started: each would train a model of its own. Without a GPU, pass "
            "Accelerator(cpu=True)."
        )
    if accelerator.gradient_accumulation_steps > 1:
        raise InputError(
            "accelerator accumulates gradients over smaller batches, which changes batch "
            "statistics. Leave gradient_accumulation_steps=1, and use more processes for a "
            "large batch."
        )
    if accelerator.mixed_precision not in _PRECISIONS:
        raise InputError(
            f"accelerator has mixed_precision={accelerator.mixed_precision!r}; pass one of "
            f"{', '.join(map(repr, _PRECISIONS))}."
        )


def process_group_of(accelerator: Any) -> ProcessGroup:
    """The processes of an `Accelerator`; a group of one for None."""
    if accelerator is None or accelerator.num_processes == 1:
        return SINGLE_PROCESS
    return ProcessGroup(accelerator.num_processes, accelerator.process_index, accelerator.device)


def precision_of(accelerator: Any, amp: bool) -> torch.dtype | None:
    """The autocast dtype of features and logits: the accelerator's, else bfloat16 for `amp`."""
    precision = None if accelerator is None else _PRECISIONS[accelerator.mixed_precision]
    return precision or (torch.bfloat16 if amp else None)


class AcceleratedNet(ObjectiveNet):
    """An `ObjectiveNet` that trains with an `Accelerator`, in as many processes as it has.

    It replaces skorch's `AccelerateMixin`. The module stays unwrapped, because
    objectives ask it for features and for its head (see `ProcessGroup`). `batch_size`
    counts the rows of all processes, so schedules step once a batch. Each process
    predicts all rows that it is given.

    Parameters
    ----------
    accelerator : Accelerator
    *args, **kwargs
        As in `ObjectiveNet`.
    """

    optimizer_: Any

    def __init__(self, *args: Any, accelerator: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accelerator = accelerator

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> Any:
        from accelerate.optimizer import AcceleratedOptimizer

        super().initialize_optimizer(triggered_directly)
        # It scales gradients for fp16. `Accelerator.prepare` would keep a reference to every
        # optimizer it was ever given.
        self.optimizer_ = AcceleratedOptimizer(
            self.optimizer_, device_placement=False, scaler=self.accelerator.scaler
        )
        return self

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)
        process_group_of(self.accelerator).average_gradients(self.module_.parameters())

    def _step_optimizer(self, step_fn: Any) -> None:
        step_fn()  # a gradient scaler does not take closures
        self.optimizer_.step()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "accelerator": None}  # it belongs to the process
