"""Benchmarks can be started, and that of a GPU runs everywhere, so that it is never broken."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_finds_what_it_imports(path, monkeypatch):
    monkeypatch.syspath_prepend(path.parent)
    try:
        runpy.run_path(str(path), run_name="benchmark")
    except ModuleNotFoundError as error:
        if (ROOT / "benchmarks" / f"{error.name}.py").exists() or "fairvision." in error.name:
            raise
        pytest.skip(f"{error.name} is not installed")


def test_what_fails_in_the_gpu_benchmark_costs_nothing_else(capsys):
    gpu = runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"), run_name="benchmark")
    table, turns = gpu["Table"](), iter([2.0, 3.0, 4.0])

    def wrong() -> float:
        raise RuntimeError("no memory")

    taken = gpu["in_turn"](table, "net", {"jlu": wrong, "erm": lambda: next(turns)}, 3)
    gpu["add_rows"](table, "net", "s", taken, {"erm": ("jlu", "1")})
    assert [(row.subject, row.value) for row in table] == [("net: jlu", None), ("net: erm", 3.0)]
    assert "RuntimeError: no memory" in str(table[0])


@pytest.mark.slow
def test_every_line_of_the_gpu_benchmark(tmp_path, monkeypatch, capsys):
    for plugin in ("fairvision_attribution", "fairvision_jlu", "fairvision_latent"):
        pytest.importorskip(plugin)
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--quick", "--device", "cpu", "--json", str(out)])
    runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"), run_name="__main__")
    rows = json.loads(out.read_text())["rows"]
    assert all(row["value"] > 0 and not row["error"] for row in rows)
    promised = [row for row in rows if row["promised"]]
    assert [row["promised"] for row in promised].count("5000") == 2
    assert {row["of"] for row in promised} == {"tuned loop", "erm", "plain loop", "CPU", ""}
    printed = capsys.readouterr().out
    assert all(row["subject"] in printed for row in rows)


@pytest.mark.parametrize("n_features", [3, 60])  # fewer and more than rows
def test_nothing_of_the_group_is_left_to_a_linear_probe_and_the_rest_stays(n_features):
    photographs = runpy.run_path(str(ROOT / "benchmarks" / "photographs.py"), run_name="benchmark")
    rng = np.random.default_rng(0)
    group, weights = np.arange(40) % 2, rng.uniform(0.5, 2, 40)
    X = rng.normal(size=(40, n_features))
    X[:, 0] += 3 * group
    erase = photographs["linear_eraser"](X, group, weights)
    erased = erase(X)

    def covariance(X):
        return (weights * (group - np.average(group, weights=weights))) @ X / len(X)

    assert abs(covariance(X)[0]) > 0.3
    np.testing.assert_allclose(covariance(erased), 0, atol=1e-5)
    np.testing.assert_allclose(erase(erased), erased, atol=1e-4)  # there is nothing more to erase
    assert np.linalg.matrix_rank(X - erased, tol=1e-4) == 1  # one direction is moved
