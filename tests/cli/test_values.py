"""Parameters of methods, as the command line writes them."""

from __future__ import annotations

from typing import Any

import pytest

from fairvision.cli._method import settings_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("null", None),
        ("None", None),
        ("True", True),
        ("false", False),
        ("balanced", "balanced"),
        ('"None"', "None"),
        ('{"1": 3}', {"1": 3}),
    ],
)
def test_values_are_json_or_python_or_text(text: str, value: Any) -> None:
    assert settings_of((f"jlu.class_weight={text}",)) == {"jlu": {"class_weight": value}}
