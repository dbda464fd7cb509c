"""The host's own methods conform."""

from __future__ import annotations

from typing import Any

import pytest

import fairvision as fv
from fairvision.testing import check_plugin, parametrize_with_method_checks


def test_the_hosts_plugin() -> None:
    check_plugin("fairvision", methods=False)


@pytest.mark.slow
@parametrize_with_method_checks([m for m in fv.methods() if m.origin.is_host], device="auto")
def test_conformance(check: Any) -> None:
    check()
