"""What holds for the host's tests and every plugin's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings

# The same examples in every run, so that a red run is the change's doing and not the dice's, and
# no deadline, which a busy machine would miss. To search on: --hypothesis-profile=default.
settings.register_profile("fairvision", derandomize=True, deadline=None)
settings.load_profile("fairvision")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the simulated GPU."""
    parser.addoption(
        "--simulated-cuda",
        action="store_true",
        help="run what is not marked cpu on a simulated GPU (tests/nn/simulated_cuda.py)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Hide CUDA from a test marked `cpu`, from its fixtures and from the processes it starts.

    With ``--simulated-cuda`` every other test sees one.
    """
    with ExitStack() as stack:
        if item.get_closest_marker("cpu"):
            stack.enter_context(mock.patch("torch.cuda.is_available", return_value=False))
            stack.enter_context(mock.patch.dict("os.environ", {"CUDA_VISIBLE_DEVICES": ""}))
        elif item.config.getoption("--simulated-cuda"):
            from simulated_cuda import simulated_cuda

            stack.enter_context(simulated_cuda())
        return (yield)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: Any) -> str:
    """Each kind of device that is here."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param
