"""Training by an `accelerate.Accelerator`: where, how precisely, and in how many processes."""

from __future__ import annotations

import os
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairvision.exceptions import InputError
from fairvision.nn.net import ObjectiveNet
from fairvision.nn.ranks import ALONE, Ranks
from fairvision.nn.rows import Rows

__all__ = ["AcceleratedNet", "agree_on_rows", "check_accelerator", "precision_of", "ranks_of"]

_PRECISIONS = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# A module in pieces, or in an engine of its own: nothing that a method could ask for features.
_REFUSED = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "XLA")


def check_accelerator(accelerator: Any, device: str) -> None:
    """An `Accelerator` of a kind that we can train by, or None."""
    if accelerator is None:
        return
    if not hasattr(accelerator, "num_processes") or not hasattr(accelerator, "mixed_precision"):
        raise InputError(
            f"accelerator is {accelerator!r}; pass an accelerate.Accelerator() "
            "(pip install 'fairvision[accelerate]'), or None."
        )
    if device != "auto":
        raise InputError(
            f"device is {device!r}, and the accelerator computes on {accelerator.device}. Leave "
            "device='auto', and choose through accelerate."
        )
    kind = getattr(accelerator.distributed_type, "value", "NO")
    if kind in _REFUSED or getattr(accelerator, "parallelism_config", None) is not None:
        raise InputError(
            f"accelerator is of distributed type {kind}, which cuts the model in pieces. Pass one "
            "that keeps it whole in every process (MULTI_GPU, MULTI_CPU or NO)."
        )
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started > accelerator.num_processes:
        raise InputError(
            f"accelerator knows of {accelerator.num_processes} process(es), and {started} were "
            "started: each would train a model of its own. Without a GPU, pass "
            "Accelerator(cpu=True)."
        )
    if accelerator.gradient_accumulation_steps > 1:
        raise InputError(
            "accelerator accumulates gradients, and statistics of a batch would be those of its "
            "pieces. Leave gradient_accumulation_steps=1; with more processes a batch fits."
        )
    if accelerator.mixed_precision not in _PRECISIONS:
        raise InputError(
            f"accelerator has mixed_precision={accelerator.mixed_precision!r}; pass one of "
            f"{', '.join(map(repr, _PRECISIONS))}."
        )


def ranks_of(accelerator: Any) -> Ranks:
    """The processes of an `Accelerator`; `ALONE` for None."""
    if accelerator is None or accelerator.num_processes == 1:
        return ALONE
    return Ranks(accelerator.num_processes, accelerator.process_index, accelerator.device)


def precision_of(accelerator: Any, amp: bool) -> torch.dtype | None:
    """What to compute features and logits in: the accelerator's word, then `amp`'s."""
    named = "no" if accelerator is None else accelerator.mixed_precision
    return _PRECISIONS[named] or (torch.bfloat16 if amp else None)


def agree_on_rows(ranks: Ranks, rows: Rows) -> None:
    """Check that all processes train on the same rows, as far as labels and weights tell."""
    columns = [c.numpy() for c in (rows.targets, rows.groups, rows.weights) if c is not None]
    digests = [zlib.crc32(np.ascontiguousarray(column).tobytes()) for column in columns]
    ranks.agree("The rows of X, y, sensitive_features and sample_weight", len(rows), sum(digests))


class AcceleratedNet(ObjectiveNet):
    """An `ObjectiveNet` that steps by an `Accelerator`, in as many processes as it has.

    What skorch's own `AccelerateMixin` is for, with three differences. The
    module stays unwrapped, because objectives ask it for features and for its
    head (see `Ranks`). Batches are those of one process, cut in shares, so
    that learning-rate schedules, too, step once a batch. Predictions come from
    the module whole.

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
        # It scales gradients where the precision needs it. Not by `prepare`, after which the
        # accelerator would remember every optimizer there ever was.
        self.optimizer_ = AcceleratedOptimizer(
            self.optimizer_, device_placement=False, scaler=self.accelerator.scaler
        )
        return self

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)
        ranks_of(self.accelerator).average(self.module_.parameters())

    def _step_optimizer(self, step_fn: Any) -> None:
        step_fn()  # not as a closure, which a scaler cannot take
        self.optimizer_.step()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "accelerator": None}  # the process's, not the net's
