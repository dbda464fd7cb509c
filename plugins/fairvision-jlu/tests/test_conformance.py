"""The plugin loads, keeps the contract of its stage, and does what it claims."""

from __future__ import annotations

from typing import Any

import pytest

from fairvision.testing import check_plugin, parametrize_with_method_checks


def test_plugin() -> None:
    check_plugin("fairvision-jlu", methods=False)


@pytest.mark.conformance
@parametrize_with_method_checks("jlu", device="auto")
def test_conformance(check: Any) -> None:
    check()
