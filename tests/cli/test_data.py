"""``fairvision data``: findings, tables, a page, and what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fairvision.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(24):
        pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i % 23:02d}-{i}.png")
    os.link(tmp_path / "00-0.png", tmp_path / "copy.png")
    table = pd.DataFrame({"path": sorted(path.name for path in tmp_path.iterdir())})
    table["ill"], table["sex"] = np.arange(25) % 2, np.where(np.arange(25) % 4 < 2, "f", "m")
    table["patient"] = np.arange(25) // 2
    table["use"] = np.where(np.arange(25) < 13, "train", "test")
    table.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def data(folder: Path, *options: str, target: str = "ill") -> Result:
    words = ["--dataset", "folder", "--root", str(folder), "--labels", "labels.csv"]
    words += ["--target", target, "--sensitive", "sex", "--n-boot", "50", "--seed", "0", *options]
    return CliRunner().invoke(main, ["data", *words])


def test_it_prints_findings_and_tables(folder: Path) -> None:
    result = data(folder, "--split-column", "use", "--identity-column", "patient")
    assert result.exit_code == 0, result.output
    for words in (
        "ill and sex show no association",
        "In several splits: 1 of 13 values of 'patient'",
        "In several splits: 1 set of near copies",
        "95% INTERVAL",
        "balanced-sampling",
    ):
        assert words in result.stdout


def test_json_is_the_card(folder: Path) -> None:
    card = json.loads(data(folder, "--json").stdout)
    assert card["target"] == "ill"
    assert sum(row["all"] for row in card["counts"]) == 25
    assert card["settings"]["n_boot"] == 50


@pytest.mark.parametrize("n_pictures", [0, 1])
def test_the_page_holds_pictures_only_if_asked(folder: Path, n_pictures: int) -> None:
    result = data(folder, "--report", str(folder / "card.html"), "--pictures", str(n_pictures))
    assert result.exit_code == 0, result.output
    page = (folder / "card.html").read_text()
    assert "fairvision data --dataset folder" in page
    assert page.count("data:image/png") + page.count("data:image/jpeg") == 2 * n_pictures


def test_what_cannot_be_used_is_one_line_and_exit_2(folder: Path) -> None:
    for result, words in (
        (data(folder, target="age"), "'age' is not in the data"),
        (data(folder, target="path"), "'path' has 25 value"),
        (data(folder, "--identity-column", "who"), "identity 'who' is no attribute"),
        (data(folder / "nowhere"), "nowhere"),
    ):
        assert result.exit_code == 2, result.output
        assert words in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
