"""Device mistakes are caught where there is no GPU: on one that is simulated.

Its tensors say "cuda:0" and compute on the CPU. As on a real one, an operation on tensors of two
devices is an error, and so is `.numpy()`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

import fairvision as fv
from fairvision.nn import FeatureExtractor, TorchClassifier
from fairvision.testing._data import stripes
from fairvision.testing._subject import Subject

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real GPU")

_aten = torch.ops.aten
_CUDA = torch.device("cuda", 0)
#: What torch's own code takes it for, since autograd would ask for a driver. A true "meta" device
#: has no index.
_INNER = torch.device("meta", 1)
_CPU = torch.device("cpu")
_COPIES = (_aten.copy_, _aten._to_copy, _aten.copy)
#: Their index tensors, the second argument, may be on the CPU.
_INDEXING = (_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_)


class CudaTensor(torch.Tensor):
    """A tensor of the simulated GPU; `values` are on the CPU."""

    values: torch.Tensor
    device = property(lambda self: _CUDA)
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

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = _again(self.detach().clone(), *_kind(self))
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _again, (self.detach().cpu(), *_kind(self))

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        return _call(function, args, kwargs or {})


def _kind(tensor: Any) -> tuple[bool, bool]:
    return isinstance(tensor, torch.nn.Parameter), tensor.requires_grad


def _again(tensor: Any, is_parameter: bool, requires_grad: bool) -> Any:
    tensor = tensor.to("cuda")
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _on_cuda(function: Any, args: Any, kwargs: Any) -> bool:
    """Whether the result is on the GPU; an error if the tensors are not all on one device."""
    packet, tensors = function.overloadpacket, list(filter(_is_tensor, tree_leaves((args, kwargs))))
    if "device" in kwargs and kwargs["device"] is not None:
        return torch.device(kwargs["device"]) == _INNER
    if packet in _COPIES:
        return isinstance(args[0], CudaTensor)
    if packet in _INDEXING and isinstance(args[0], CudaTensor):
        tensors = [*filter(_is_tensor, tree_leaves(args[2:3])), args[0]]
    # A number, a CPU tensor without dimensions, goes with any device.
    if len({t.device for t in tensors if t.ndim}) > 1:
        raise RuntimeError(f"tensors of two devices meet in {function}")
    return any(isinstance(t, CudaTensor) for t in tensors)


def _call(function: Any, args: Any, kwargs: Any) -> Any:
    on_cuda = _on_cuda(function, args, kwargs)
    real = {**kwargs, "device": _CPU} if on_cuda and "device" in kwargs else kwargs
    bare = tree_map(lambda t: t.values if isinstance(t, CudaTensor) else t, (args, real))
    out = function(*bare[0], **bare[1])
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
    """The device "cuda" in the arguments of a call, as torch's own code takes it."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = kwargs or {}
        if function in (torch.get_device_module, torch.device):
            return function(*args, **kwargs)
        if function is torch.Tensor.pin_memory:
            return args[0]
        args = tuple(_INNER if _is_cuda(value) else value for value in args)
        kwargs = {k: _INNER if k == "device" and _is_cuda(v) else v for k, v in kwargs.items()}
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is _INNER:
            return function(*args, **{**kwargs, "device": _CPU}).to(_INNER)
        return function(*args, **kwargs)


def _is_cuda(value: Any) -> bool:
    return isinstance(value, (str, torch.device)) and str(value).startswith("cuda")


def _module() -> dict[str, Any]:
    """What stands in for functions of `torch.cuda`; its generator is the CPU's."""
    return {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        # No room for what needs a real one: bfloat16, images kept there, CUDA graphs.
        "mem_get_info": lambda *_: (0, 0),
        "get_device_capability": lambda *_: (7, 0),
        "manual_seed_all": torch.default_generator.manual_seed,
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "set_rng_state": lambda state, *_: torch.set_rng_state(state),
        "get_rng_state_all": lambda: [torch.get_rng_state()],
        "set_rng_state_all": lambda states: torch.set_rng_state(states[0]),
    }


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
        for name, value in _module().items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        for name in filter(lambda name: "capture_health_check" in name, dir(optimizer)):
            stack.enter_context(mock.patch.object(optimizer, name))
        # Views of its tensors cannot be made in inference mode.
        stack.enter_context(mock.patch.object(torch, "inference_mode", torch.no_grad))
        stack.enter_context(mock.patch.object(threading.Thread, "run", run_with_cuda))
        stack.enter_context(_Names())
        stack.enter_context(_Operations())
        yield


def test_it_refuses_what_a_gpu_refuses() -> None:
    with simulated_cuda():
        x = torch.ones(3, device="cuda")
        assert (x.device, (x * 2).sum().item(), (x + torch.tensor(1)).device) == (_CUDA, 6, _CUDA)
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(3)
        with pytest.raises(RuntimeError, match="two devices"):
            torch.ones(3)[torch.zeros(1, dtype=torch.int64, device="cuda")]
        with pytest.raises(TypeError, match="numpy"):
            x.numpy()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fairvision.exceptions.FairvisionWarning")
@pytest.mark.parametrize("method", fv.methods(), ids=lambda method: method.qualified_name)
def test_every_method_fits_and_predicts(method: Any) -> None:
    data = stripes()
    with simulated_cuda():
        subject = Subject(method, device="cuda")
        subject.scores(subject.fitted(data), data)


def test_what_a_classifier_can_do(tmp_path: Any) -> None:
    data = stripes()
    cpu = TorchClassifier(max_epochs=2, random_state=0, device="cpu").fit(data.X, data.y)
    with simulated_cuda():
        model = TorchClassifier(max_epochs=2, random_state=0, trainable="last:1")
        model.fit(data.X, data.y, sample_weight=np.ones(64)).partial_fit(data.X, data.y)
        path = fv.save(model, tmp_path / "model")
        for kept in (
            model,
            fv.load(path),
            TorchClassifier.from_module(cpu.module_, classes=[0, 1]),
        ):
            assert next(kept.module_.parameters()).device == _CUDA
            assert kept.transform(data.X).shape == (64, 128)
        assert FeatureExtractor(cpu.module_).fit_transform(data.X).shape == (64, 128)
        # Its numbers are the CPU's, up to the order of sums.
        same = TorchClassifier(max_epochs=2, random_state=0).fit(data.X, data.y)
        np.testing.assert_allclose(same.predict_proba(data.X), cpu.predict_proba(data.X), atol=1e-2)
