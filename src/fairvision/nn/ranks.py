"""The processes that train one model: what each takes of a batch, and what they put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fairvision.exceptions import InputError
from fairvision.nn.state import get_tensors

__all__ = ["ALONE", "Ranks"]

T = TypeVar("T", Tensor, np.ndarray, int)


@dataclass(eq=False)
class Ranks:
    """The processes that train one model, seen from one of them.

    The images of a batch are shared out; targets, groups, weights and row
    numbers are whole everywhere. Inside `together`, what the module computes of
    the shares comes out whole as well, in the order of the rows, so that a loss
    is that of the whole batch in every process. Whatever it is computed from,
    a rate or a histogram or a head fitted in between, needs no care. Gradients
    find their way back: each process takes the mean of all (`average`).

    Everything here does nothing where there is one process.

    Parameters
    ----------
    size : int
        Number of processes, those of torch's default process group.
    rank : int
        Of this one.
    device : torch.device
        Where they exchange tensors.

    Notes
    -----
    `DistributedDataParallel` sees only what passes through its own `forward`, and
    would keep every statistic of a batch to its process. Summing the gradients
    once, at the end of `backward`, gives up that it sends some while others are
    still computed.
    """

    size: int = 1
    rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _own: list[Tensor] = field(default_factory=list, init=False, repr=False)
    _inside: bool = field(default=False, init=False, repr=False)

    # -- what each process takes --------------------------------------------------

    def own(self, n: int) -> slice:
        """Which of n rows are this process's: neighbours, shares that differ by one at most."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Draw from a random stream of this process's own inside the block.

        The ordinary stream is the same in every process as long as each draws as
        much from it. Dropout and augmentation draw by the size of the share.
        """
        if self.size == 1:
            yield
            return
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            if self._own:
                torch.set_rng_state(self._own[0])
                for device, state in zip(devices, self._own[1:], strict=True):
                    torch.cuda.set_rng_state(state, device)
            else:
                seed = torch.initial_seed() + self.rank + 1
                torch.default_generator.manual_seed(seed)
                if devices:
                    torch.cuda.manual_seed(seed)
            yield
            states = [torch.cuda.get_rng_state(device) for device in devices]
            self._own = [torch.get_rng_state(), *states]

    @property
    def stream(self) -> list[Tensor]:
        """Where the random stream of this process's own is; empty before its first draw."""
        return list(self._own)

    @stream.setter
    def stream(self, states: list[Tensor]) -> None:
        self._own = list(states)

    # -- what they put together ---------------------------------------------------

    def sum(self, x: Tensor) -> Tensor:
        """Sum over the processes, with gradients."""
        return x if self.size == 1 else _Sum.apply(x)

    def gather(self, x: Tensor) -> Tensor:
        """The rows of all processes, in the order of the processes, with gradients.

        Parameters
        ----------
        x : Tensor of shape (n_own, ...)
            As many rows as there are, in each process; none will do.
        """
        if self.size == 1:
            return x
        lengths = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        lengths[self.rank] = len(x)
        counts = _total(lengths).tolist()
        before, after = sum(counts[: self.rank]), sum(counts[self.rank + 1 :])
        # A sum with zeros: exact, and its gradient is right whatever is made of the whole.
        zeros = [x.new_zeros(n, *x.shape[1:]) for n in (before, after)]
        return self.sum(torch.cat([zeros[0], x, zeros[1]]))

    def same(self, x: T) -> T:
        """What the first process has: a tensor, an array or an int."""
        if self.size == 1:
            return x
        shared = torch.as_tensor(x).detach().to(self.device, copy=True).contiguous()
        dist.broadcast(shared, 0)
        if isinstance(x, Tensor):
            return shared.to(x.device)
        return shared.cpu().numpy() if isinstance(x, np.ndarray) else type(x)(shared.item())

    def told(self, content: bytes) -> bytes:
        """What the first process has, of whatever length; what the others pass is not looked at."""
        if self.size == 1:
            return content
        n = self.same(len(content))
        return bytes(self.same(_numbers(content if self.rank == 0 else bytes(n))).tobytes())

    def each(self, content: bytes) -> list[bytes]:
        """What every process has, of whatever length, in their order."""
        lengths = self.gather(torch.tensor([len(content)], device=self.device)).tolist()
        numbers = torch.from_numpy(_numbers(content)).to(self.device)
        whole = self.gather(numbers).cpu().split(lengths)
        return [part.numpy().tobytes() for part in whole]

    def average(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over the processes."""
        grads = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not grads:
            return
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        dist.all_reduce(flat)
        parts = (flat / self.size).split([grad.numel() for grad in grads])
        for grad, part in zip(grads, parts, strict=True):
            grad.copy_(part.view_as(grad))

    def agree(self, what: str, *numbers: int) -> None:
        """Refuse to go on where the processes were not given the same.

        Raises
        ------
        InputError
            In every process. Without it, they would wait for one another forever.
        """
        table = self.gather(torch.tensor([numbers], dtype=torch.int64, device=self.device))
        if (table != table[0]).any():
            raise InputError(
                f"{what}: process {self.rank} of {self.size} has another than some other. Give "
                "every process the same data in the same order, and the same int as random_state."
            )

    @contextmanager
    def together(self, module: nn.Module) -> Iterator[None]:
        """Inside the block, `features` and `forward` of a module give the rows of all processes.

        They begin with the weights of the first process. Batch normalisation
        takes its statistics over the whole batch; what else is random in the
        module draws in each process for itself.

        Parameters
        ----------
        module : nn.Module
            With ``features(x)``.
        """
        if self.size == 1:
            yield
            return
        with torch.no_grad():
            for tensor in get_tensors(module).values():
                tensor.copy_(self.same(tensor))
        with ExitStack() as stack:
            for part in module.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    stack.enter_context(_shadowed(part, "forward", self._normalized(part)))
            for name in ("features", "forward"):
                whole = self._whole(getattr(module, name))
                stack.enter_context(_shadowed(module, name, whole))
            yield

    def _whole(self, method: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(x: Tensor) -> Tensor:
            if self._inside:  # a forward that calls `features`
                return method(x)
            self._inside = True
            try:
                with self.apart():
                    share = method(x)
            finally:
                self._inside = False
            return self.gather(share)

        return run

    def _normalized(self, norm: Any) -> Callable[[Tensor], Tensor]:
        """A batch normalisation's `forward` by the whole batch: torch's own needs a GPU."""

        def run(x: Tensor) -> Tensor:
            if not norm.training and norm.running_mean is not None:
                return type(norm).forward(norm, x)
            axes, shape = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            n = self.sum(wide.new_tensor(x.numel() // x.shape[1]))
            mean = self.sum(wide.sum(axes)) / n
            centred = wide - mean.view(shape)
            var = self.sum(centred.square().sum(axes)) / n
            if norm.training and norm.running_mean is not None:
                _remember(norm, mean.detach(), var.detach() * n / (n - 1).clamp_min(1))
            y = centred * (var + norm.eps).rsqrt().view(shape)
            if norm.affine:
                y = y * norm.weight.view(shape) + norm.bias.view(shape)
            return y.to(x.dtype)

        return run


ALONE = Ranks()


def _numbers(content: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(content), dtype=np.uint8)  # a copy, that may be written to


class _Sum(torch.autograd.Function):
    """A sum over processes; what each makes of it comes back as a sum of gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _total(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _total(grads[0])


def _total(x: Tensor) -> Tensor:
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


@torch.no_grad()
def _remember(norm: Any, mean: Tensor, var: Tensor) -> None:
    """Move the running statistics, as torch does."""
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), share)
    norm.running_var.lerp_(var.to(norm.running_var), share)


@contextmanager
def _shadowed(owner: nn.Module, name: str, method: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Put a function before a method of one object."""
    before = vars(owner).get(name)
    setattr(owner, name, method)
    try:
        yield
    finally:
        vars(owner).pop(name)
        if before is not None:
            setattr(owner, name, before)
