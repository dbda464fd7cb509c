"""The benchmark of a GPU runs everywhere, so that it is never broken when one is at hand."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_line_of_the_gpu_benchmark(tmp_path, monkeypatch, capsys):
    for plugin in ("fairvision_attribution", "fairvision_jlu", "fairvision_latent"):
        pytest.importorskip(plugin)
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--quick", "--device", "cpu", "--json", str(out)])
    runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"), run_name="__main__")
    rows = json.loads(out.read_text())["rows"]
    assert all(row["value"] > 0 for row in rows)
    promised = [row for row in rows if row["promised"]]
    assert [row["promised"] for row in promised].count("5000") == 2
    assert {row["of"] for row in promised} == {"tuned loop", "erm", "plain loop", "CPU", ""}
    printed = capsys.readouterr().out
    assert all(row["subject"] in printed for row in rows)
