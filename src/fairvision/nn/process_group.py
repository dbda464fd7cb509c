"""The processes that train one model together, and what they exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn.state import get_tensors, wrapped_methods

__all__ = ["SINGLE_PROCESS", "ProcessGroup"]

T = TypeVar("T")


@dataclass(eq=False)
class ProcessGroup:
    """The processes that train one model, as one of them sees the group.

    Each process reads and computes only its shard of the images of a batch.
    Targets, groups, weights and row numbers are those of the full batch in every
    process. Inside `gathered_outputs`, `module(x)` and `module.features(x)` take
    the shard and return the rows of the full batch, so every process computes the
    loss of the full batch. `average_gradients` then gives each parameter the
    gradient of that loss.

    With one process, every method returns what it was given.

    Parameters
    ----------
    size : int
        Number of processes in torch's default process group.
    rank : int
        Of this process, from 0.
    device : torch.device
        The device of the tensors that the processes exchange.

    Attributes
    ----------
    rng_states : list of Tensor
        State of this process's own random stream (see `own_rng`): of the CPU,
        then of the GPU. Empty before the first draw.

    Notes
    -----
    `DistributedDataParallel` wraps `forward` and averages the gradients of one loss per
    shard. Here an objective also needs `features`, and statistics of the full batch.
    """

    size: int = 1
    rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rng_states: list[Tensor] = field(default_factory=list, init=False, repr=False)
    _in_forward: bool = field(default=False, init=False, repr=False)

    def shard(self, n: int) -> slice:
        """The consecutive rows of n that this process computes; sizes differ by one at most."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    @contextmanager
    def own_rng(self) -> Iterator[None]:
        """Draw from this process's own random stream inside the block.

        The global generators must stay the same in every process. Dropout and
        augmentation draw as many numbers as the shard needs, so they use their own stream.
        """
        if self.size == 1:
            yield
            return
        devices = [self.device] if self.device.type == "cuda" else []
        on_devices = [torch.cuda.default_generators[device.index or 0] for device in devices]
        generators = [torch.default_generator, *on_devices]
        with torch.random.fork_rng(devices=devices):
            seed = torch.initial_seed() + self.rank + 1
            if not self.rng_states:
                for generator in generators:
                    generator.manual_seed(seed)
            for generator, state in zip(generators, self.rng_states, strict=False):
                generator.set_state(state)
            yield
            self.rng_states = [generator.get_state() for generator in generators]

    def all_gather(self, x: Tensor) -> Tensor:
        """Concatenate the rows of all processes, in order of rank, with gradients.

        Parameters
        ----------
        x : Tensor of shape (n_own, ...)
            `n_own` may differ between processes, and may be 0.
        """
        return x if self.size == 1 else self._all_gather(x)[0]

    def _all_gather(self, x: Tensor) -> tuple[Tensor, slice]:
        """The rows of all processes, and the place of this process's rows among them."""
        counts = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        counts[self.rank] = len(x)
        dist.all_reduce(counts)
        start, n = int(counts[: self.rank].sum()), int(counts.sum())
        # dist.all_gather has no gradient and wants shards of one size: sum with zeros instead.
        before, after = x.new_zeros(start, *x.shape[1:]), n - start - len(x)
        padded = torch.cat([before, x, x.new_zeros(after, *x.shape[1:])])
        return _AllReduce.apply(padded), slice(start, start + len(x))

    def broadcast(self, value: T) -> T:
        """The value of rank 0, in every process.

        Parameters
        ----------
        value : object
            Anything that pickles; tensors must be on the CPU. Ignored on other ranks.
        """
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, 0, device=self.device)
        return values[0]

    def all_gather_object(self, value: T) -> list[T]:
        """The values of all processes, in order of rank. They must pickle."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over the processes."""
        grads = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not grads:
            return
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        dist.all_reduce(flat)
        means = (flat / self.size).split([grad.numel() for grad in grads])
        for grad, mean in zip(grads, means, strict=True):
            grad.copy_(mean.view_as(grad))

    def check_same(self, what: str, *values: Any) -> None:
        """Check that all processes received the same values.

        Raises
        ------
        InputError
            In every process. Without this check, the processes would deadlock.
        """
        gathered = self.all_gather_object(values)
        if any(other != gathered[0] for other in gathered):
            raise InputError(
                f"The processes received different {what}. Give every process the same data in "
                "the same order, and the same int as random_state."
            )

    @contextmanager
    def gathered_outputs(self, module: nn.Module) -> Iterator[None]:
        """Make `forward` and `features` return the rows of all processes inside the block.

        Every process starts from the weights of rank 0. Batch normalisation uses the
        statistics of the full batch. Dropout draws from `own_rng`.

        Parameters
        ----------
        module : nn.Module
            With ``features(x)``.
        """
        if self.size == 1:
            yield
            return
        for tensor in get_tensors(module).values():
            shared = tensor.detach().contiguous()
            dist.broadcast(shared, 0)
            tensor.detach().copy_(shared)
        with ExitStack() as stack:
            for layer in module.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    wrap = partial(self._synchronized, layer)
                    stack.enter_context(wrapped_methods(layer, ["forward"], wrap))
            gather = partial(partial, self._gathered)
            stack.enter_context(wrapped_methods(module, ["features", "forward"], gather))
            yield

    def _gathered(self, method: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self._in_forward:  # `forward` called `features`, or the other way round
            return method(x)
        self._in_forward = True
        try:
            with self.own_rng():
                outputs = method(x)
        finally:
            self._in_forward = False
        return self.all_gather(outputs)

    def _synchronized(self, norm: Any, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The `forward` of a batch normalisation that uses the full batch."""
        # torch's SyncBatchNorm refuses tensors on the CPU, and would lose what a subclass
        # adds (timm's activation). There, each process normalises all rows.
        plain = type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        if self.device.type == "cuda" and plain:
            # It shares weights and running statistics with `norm`.
            synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
            return lambda x: synchronized.train(norm.training)(x)

        def run(x: Tensor) -> Tensor:
            if not norm.training and norm.running_mean is not None:
                return forward(x)
            rows, own = self._all_gather(x)
            return forward(rows)[own]

        return run


SINGLE_PROCESS = ProcessGroup()


class _AllReduce(torch.autograd.Function):
    """Sum over the processes; the gradient is the sum of theirs.

    torch.distributed.nn.functional has one that is deprecated since torch 2.14, in favour
    of a private module.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _AllReduce.forward(ctx, grads[0])
