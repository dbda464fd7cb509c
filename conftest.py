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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Hide CUDA from a test marked `cpu`, from its fixtures and from the processes it starts."""
    with ExitStack() as stack:
        if item.get_closest_marker("cpu"):
            stack.enter_context(mock.patch("torch.cuda.is_available", return_value=False))
            stack.enter_context(mock.patch.dict("os.environ", {"CUDA_VISIBLE_DEVICES": ""}))
        return (yield)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: Any) -> str:
    """Each kind of device that is here."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param
