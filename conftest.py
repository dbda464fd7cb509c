"""What holds for the host's tests and every plugin's.

Like every conftest here, it imports torch and scikit-learn inside functions: pytest reads these
files in one process before the workers start, and both cores would wait for it.
"""

from __future__ import annotations

import os
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
    """Add the options of the simulated GPU and of the environments of other versions."""
    parser.addoption(
        "--simulated-cuda",
        action="store_true",
        help="run what is not marked cpu on a simulated GPU (tests/nn/simulated_cuda.py)",
    )
    parser.addoption(
        "--few-cases",
        action="store_true",
        help="of a parametrised test, run the first and the last case only",
    )


def pytest_configure() -> None:
    """Train on one thread in each worker, and in the processes that tests start."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


#: The checks of the conformance kit that train for longest; with the others still to do, the
#: second worker does not wait for them at the end.
LONGEST = ("recovers_planted_bias", "no_gain_from_shuffled_groups", "no_great_harm_without_bias")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest checks; with ``--few-cases``, keep two cases a test.

    Another version shows in any of a test's cases.
    """
    items.sort(key=lambda item: not any(name in item.name for name in LONGEST))
    if not config.getoption("--few-cases"):
        return
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    ends = {id(item) for cases in tests.values() for item in (cases[0], cases[-1])}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in ends])
    items[:] = [item for item in items if id(item) in ends]


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
