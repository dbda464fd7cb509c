"""A GPU where there is none, which refuses what a real one refuses.

Its tensors say "cuda:0" and compute on the CPU. As on a real one, an operation on tensors of two
devices is an error, and so are `.numpy()`, a generator of the CPU, and, while a CUDA graph is
captured or after `torch.cuda.set_sync_debug_mode("error")`, whatever waits for the device.
Autocast computes in bfloat16, and a further replay of a graph overwrites what the last one gave.

``pytest --simulated-cuda`` runs every test on it that is not marked `cpu`.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["CUDA", "CudaTensor", "simulated_cuda"]

_aten = torch.ops.aten
CUDA = torch.device("cuda", 0)
#: What torch's own code takes it for, since autograd would ask for a driver. A true "meta" device
#: has no index.
_INNER = torch.device("meta", 1)
_CPU = torch.device("cpu")
_COPIES = (_aten.copy_, _aten._to_copy, _aten.copy)
#: Their index tensors, the second argument, may be on the CPU.
_INDEXING = (_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_)
#: Whose inputs must be on one device, numbers too.
_JOINING = (_aten.cat, _aten.stack)
#: What waits for the device, beside copies from and to the CPU.
_WAITING = (
    _aten._local_scalar_dense, _aten.nonzero, _aten.masked_select, _aten._unique2,
    _aten.linalg_cholesky, _aten.linalg_solve, _aten.linalg_inv, _aten.equal,
)  # fmt: skip
#: What autocast does on CUDA, by the names of functions:
#: https://docs.pytorch.org/docs/stable/amp.html#cuda-op-specific-behavior
_IN_BFLOAT16 = re.compile(
    "linear|conv.*d|(__r?)?matmul(__)?|mm|mv|bmm|addmm|addmv|addbmm|baddbmm|addr|chain_matmul|prelu|"
    "scaled_dot_product_attention"
).fullmatch
_IN_FLOAT32 = re.compile(
    "__pow__|__rdiv__|__rpow__|__rtruediv__|binary_cross_entropy_with_logits|cdist|"
    "cosine_similarity|cross_entropy|cumprod|cumsum|dist|expm?1?|group_norm|kl_div|l1_loss|"
    "layer_norm|log(10|1p|2)?|log_softmax|mse_loss|nll_loss|norm|normalize|pow|prod|reciprocal|"
    "rsqrt|smooth_l1_loss|softmax|softmin|softplus|sum"
).fullmatch

_capturing = threading.local()
_sync_mode = {"now": "default"}


class CudaTensor(torch.Tensor):
    """A tensor of the simulated GPU; `values` are on the CPU."""

    values: torch.Tensor
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> CudaTensor:
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=_INNER,
        )
        tensor.values = values
        return tensor

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    __array__ = numpy

    def __repr__(self, **kwargs: Any) -> str:
        return f"on cuda:0: {self.values!r}"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = _alike(self, self.detach().clone())
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        # As a tensor of the CPU, which any process can read: it may see no GPU.
        return _alike(self, self.values.detach()).__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        return _call(function, args, kwargs or {})


def _alike(tensor: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The values as a parameter, or with gradients, where the tensor is that."""
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(values, tensor.requires_grad)
    return values.requires_grad_(tensor.requires_grad)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _on_cuda(function: Any, args: Any, kwargs: Any) -> bool:
    """Whether the result is on the GPU; an error if the tensors are not all on one device."""
    packet, leaves = function.overloadpacket, tree_leaves((args, kwargs))
    tensors = list(filter(_is_tensor, leaves))
    if "device" in kwargs and kwargs["device"] is not None:
        return torch.device(kwargs["device"]) == _INNER
    if packet in _COPIES:
        return isinstance(args[0], CudaTensor)
    if packet in _INDEXING and isinstance(args[0], CudaTensor):
        tensors = [*filter(_is_tensor, tree_leaves(args[2:3])), args[0]]
    # A number, a CPU tensor without dimensions, goes with any device, but takes nothing from it.
    written = function._schema.is_mutable and args and _is_tensor(args[0])
    strict = packet in _JOINING or (written and not isinstance(args[0], CudaTensor))
    if len({t.device for t in tensors if t.ndim or strict}) > 1:
        raise RuntimeError(f"tensors of two devices meet in {function}")
    return any(isinstance(t, CudaTensor) for t in tensors)


def _check(function: Any, args: Any, kwargs: Any, on_cuda: bool) -> None:
    """Refuse a generator of the CPU, and waiting while a graph is captured or by wish."""
    leaves = tree_leaves((args, kwargs))
    if on_cuda and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    capturing = getattr(_capturing, "now", False)
    if capturing or _sync_mode["now"] == "error":
        packet, devices = function.overloadpacket, {t.device for t in filter(_is_tensor, leaves)}
        devices.add(CUDA if on_cuda else _CPU)
        copied = packet in _COPIES and devices == {CUDA, _CPU}
        if copied and not capturing:
            copied = not (kwargs.get("non_blocking") or True in args[2:])
        masked = packet in _INDEXING and any(
            _is_tensor(t) and t.dtype == torch.bool for t in tree_leaves(args[1])
        )
        if copied or (CUDA in devices and (masked or packet in _WAITING)):
            raise RuntimeError(f"{function} waits for the device")


def _call(function: Any, args: Any, kwargs: Any) -> Any:
    on_cuda = _on_cuda(function, args, kwargs)
    _check(function, args, kwargs, on_cuda)
    real = {**kwargs, "device": _CPU} if on_cuda and "device" in kwargs else kwargs
    bare = tree_map(lambda t: t.values if isinstance(t, CudaTensor) else t, (args, real))
    graph = getattr(_capturing, "graph", None)
    if graph is not None:
        graph.before_call(function, bare)
    out = function(*bare[0], **bare[1])
    if graph is not None:
        graph.calls.append((function, bare, out))
    if not on_cuda or function.overloadpacket is _aten._local_scalar_dense:
        return out
    wrapped = tree_map(lambda t: CudaTensor(t) if _is_tensor(t) else t, out)
    if not any(isinstance(t, CudaTensor) for t in tree_leaves((args, kwargs))):
        return wrapped
    return return_and_correct_aliasing(function, args, kwargs, wrapped)


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        return _call(function, args, kwargs or {})


class _Names(TorchFunctionMode):
    """The device "cuda" in the arguments of a call, as torch's own code takes it; autocast."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = kwargs or {}
        if function in (torch.get_device_module, torch.device):
            return function(*args, **kwargs)
        if function is torch.Tensor.pin_memory:
            if isinstance(args[0], CudaTensor):
                raise RuntimeError("cannot pin 'torch.cuda.FloatTensor'")
            return args[0]
        if torch.is_autocast_enabled("cuda"):
            args, kwargs = _autocast(getattr(function, "__name__", ""), args, kwargs)
        args = tuple(_INNER if _is_cuda(value) else value for value in args)
        kwargs = {k: _INNER if k == "device" and _is_cuda(v) else v for k, v in kwargs.items()}
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is _INNER:
            return function(*args, **{**kwargs, "device": _CPU}).to(_INNER)
        return function(*args, **kwargs)


def _is_cuda(value: Any) -> bool:
    return isinstance(value, (str, torch.device)) and str(value).startswith("cuda")


def _autocast(name: str, args: Any, kwargs: Any) -> Any:
    if name == "binary_cross_entropy":
        raise RuntimeError("binary_cross_entropy is unsafe to autocast")
    dtype = torch.get_autocast_dtype("cuda") if _IN_BFLOAT16(name) else torch.float32

    def cast(value: Any) -> Any:
        floating = isinstance(value, CudaTensor) and value.is_floating_point()
        return value.to(dtype) if floating and value.dtype != torch.float64 else value

    known = _IN_BFLOAT16(name) or _IN_FLOAT32(name)
    return tree_map(cast, (args, kwargs)) if known else (args, kwargs)


class _Graph:
    """In place of `torch.cuda.CUDAGraph`: the operations of a block, to be done again."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self._before: dict[Any, Any] = {}

    def before_call(self, function: Any, bare: Any) -> None:
        """Note what an operation is about to change: to capture it is not to do it."""
        for t in filter(_is_tensor, tree_leaves(bare)) if function._schema.is_mutable else ():
            place = t.untyped_storage().data_ptr(), t.storage_offset(), t.shape
            if place not in self._before:
                self._before[place] = t, t.clone()

    @contextmanager
    def capture(self) -> Iterator[None]:
        _capturing.now, _capturing.graph = True, self
        try:
            yield
        finally:
            _capturing.now, _capturing.graph = False, None
            for tensor, values in self._before.values():
                tensor.copy_(values)

    def replay(self) -> None:
        for function, (args, kwargs), out in self.calls:
            outputs = tree_leaves(function(*args, **kwargs))
            for old, new in zip(tree_leaves(out), outputs, strict=True):
                # Views, and what was changed in place, are there already.
                if _is_tensor(old) and _address(old) != _address(new):
                    old.copy_(new)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _graphed(function: Callable[..., Any], samples: tuple[torch.Tensor, ...]) -> Any:
    """In place of `torch.cuda.make_graphed_callables`, for functions of tensors."""
    expected = [(t.shape, t.dtype, t.device) for t in samples]
    last: list[torch.Tensor] = []

    def replay(*args: torch.Tensor) -> Any:
        if [(t.shape, t.dtype, t.device) for t in args] != expected:
            raise RuntimeError("a graph takes tensors of the shapes that it was captured with")
        for tensor in last:  # their memory is the graph's
            tensor.values.fill_(torch.nan) if tensor.is_floating_point() else None
        _capturing.now = True
        try:
            outputs = function(*args)
        finally:
            _capturing.now = False
        last[:] = [t for t in tree_leaves(outputs) if all(t is not arg for arg in args)]
        return outputs

    replay(*(t.detach().clone().requires_grad_(t.requires_grad) for t in samples))
    return replay


def _module() -> dict[str, Any]:
    """What stands in for functions of `torch.cuda`; its generator is the CPU's."""
    return {
        "is_available": lambda: True,
        "device": lambda *_: nullcontext(),
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "synchronize": lambda *_: None,
        "mem_get_info": lambda *_: (2**30, 2**30),
        "memory_reserved": lambda *_: 0,
        "memory_allocated": lambda *_: 0,
        "current_stream": lambda *_: None,
        "set_stream": lambda *_: None,
        "get_device_name": lambda *_: "simulated",
        "get_device_capability": lambda *_: (8, 0),
        "is_bf16_supported": lambda *_: True,
        "set_sync_debug_mode": lambda mode: _sync_mode.update(now=mode),
        "make_graphed_callables": _graphed,
        "CUDAGraph": _Graph,
        "graph": lambda graph, **_: graph.capture(),
        "Stream": lambda *_: None,
        "manual_seed": torch.default_generator.manual_seed,
        "manual_seed_all": torch.default_generator.manual_seed,
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda state, *_: torch.set_rng_state(state),
        "get_rng_state_all": lambda: [torch.get_rng_state()],
        "set_rng_state_all": lambda states: torch.set_rng_state(states[0]),
    }


def _load(*args: Any, map_location: Any = None, load: Any = torch.load, **kwargs: Any) -> Any:
    # A pickle of a tensor is loaded by torch itself, where it was made.
    pickled = sys._getframe(1).f_globals.get("__name__") == "torch.storage"
    if map_location is None and not pickled:
        raise RuntimeError("a file of a GPU's tensors needs map_location where there is none")
    if _is_cuda(map_location):  # skorch asks for the net's device; a storage cannot be there
        map_location = _CPU
    return load(*args, map_location=map_location, **kwargs)


def _swap(old: torch.Tensor, new: torch.Tensor, swap: Any = torch.utils.swap_tensors) -> None:
    if isinstance(old, CudaTensor) or isinstance(new, CudaTensor):
        swap(old, new)
    else:  # which works with views of it, too
        old.data = new.data


@contextmanager
def simulated_cuda() -> Iterator[None]:
    """Let torch see a GPU, in every thread that starts inside the block."""
    run, optimizer = threading.Thread.run, torch.optim.Optimizer

    def run_with_cuda(thread: threading.Thread) -> None:
        with _Names(), _Operations():
            run(thread)

    with ExitStack() as stack:
        # `param.data = ...` cannot put a tensor of another class there; a swap can.
        torch.__future__.set_swap_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, False)
        stack.callback(_sync_mode.update, now="default")
        for name, value in _module().items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        for name in filter(lambda name: "capture_health_check" in name, dir(optimizer)):
            stack.enter_context(mock.patch.object(optimizer, name))
        stack.enter_context(mock.patch.object(torch, "load", _load))
        stack.enter_context(mock.patch.object(torch.utils, "swap_tensors", _swap))
        # Views of its tensors cannot be made in inference mode.
        stack.enter_context(mock.patch.object(torch, "inference_mode", torch.no_grad))
        stack.enter_context(mock.patch.object(threading.Thread, "run", run_with_cuda))
        stack.enter_context(_Names())
        stack.enter_context(_Operations())
        yield
