"""The paper's equations: limiting cases, and Algorithm 1 written as it is printed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairvision.exceptions import InputError
from fairvision_attribution import PatchGrid
from fairvision_attribution._algorithm import (
    CONFIDENCES,
    confidence,
    interpolation,
    min_max,
    picture_probabilities,
    pixel_map,
    roughness,
    top_mask,
)


@pytest.mark.parametrize("kind", CONFIDENCES)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_confidence_is_0_for_a_guess_and_1_for_certainty(kind, n_classes):
    guess, sure = torch.full((n_classes,), 1 / n_classes), torch.eye(n_classes)[0]
    assert confidence(guess, kind) == pytest.approx(0, abs=1e-6)
    assert confidence(sure, kind) == 1
    between = [confidence(guess + t * (sure - guess), kind) for t in (0.2, 0.5, 0.9)]
    assert 0 < between[0] < between[1] < between[2] < 1


def test_confidences_differ_in_what_they_look_at():
    p = torch.tensor([0.5, 0.5, 0.0])
    assert confidence(p, "margin") == 0
    assert confidence(p, "top_softmax") == pytest.approx(0.25)
    assert confidence(p, "neg_entropy") == pytest.approx(1 - np.log(2) / np.log(3))


def test_a_confident_patch_outvotes_those_that_guess():
    guesses = torch.tensor([[0.45, 0.55]]).repeat(20, 1)
    patches = torch.cat([guesses, torch.tensor([[0.99, 0.01]])])[None]
    (probabilities,) = picture_probabilities(patches)
    assert probabilities[0] > 0.8
    assert probabilities.sum() == pytest.approx(1)


def algorithm_1(regions: np.ndarray, grid: PatchGrid) -> np.ndarray:
    total = np.zeros((grid.height, grid.width))
    count = np.zeros_like(total)
    down, across = grid.stride
    for i in range(grid.n_rows):
        for j in range(grid.n_columns):
            rows = slice(i * down, i * down + grid.patch)
            columns = slice(j * across, j * across + grid.patch)
            total[rows, columns] += regions[i, j]
            count[rows, columns] += 1
    return total / count


@given(st.sampled_from([(16, 20, 4, None), (16, 20, 8, (5, 7)), (24, 24, 24, 1), (12, 9, 6, 2)]))
def test_pixel_maps_are_algorithm_1(case):
    height, width, patch, n = case
    grid = PatchGrid.fit((height, width), patch, n)
    regions = np.random.default_rng(0).random((3, grid.n_rows, grid.n_columns), dtype=np.float32)
    maps = pixel_map(regions, *grid.coverage)
    np.testing.assert_allclose(maps, [algorithm_1(r, grid) for r in regions], atol=1e-6)


def test_interpolation_is_exact_where_it_was_looked_and_on_straight_lines():
    places = np.array([0, 3, 4, 9])
    weights = interpolation(places, 10)
    np.testing.assert_allclose(weights[places], np.eye(4))
    np.testing.assert_allclose(weights @ (2 * places + 1), 2 * np.arange(10) + 1, rtol=1e-6)


@given(st.integers(0, 100), st.integers(1, 3))
def test_a_mask_hides_exactly_its_share_even_among_ties(percent, levels):
    maps = np.random.default_rng(0).integers(levels, size=(2, 8, 9)).astype(np.float32)
    mask = top_mask(maps, percent / 100)
    assert (mask.sum((1, 2)) == round((1 - percent / 100) * 72)).all()
    for m, hidden in zip(maps, mask, strict=True):
        assert not hidden.any() or hidden.all() or m[hidden].min() >= m[~hidden].max()


def test_scaling():
    maps = np.array([[[2, 4], [3, 4]], [[5, 5], [5, 5]]], dtype=np.float32)
    np.testing.assert_allclose(min_max(maps), [[[0, 1], [0.5, 1]], [[0, 0], [0, 0]]])


def test_roughness_is_where_a_map_changes():
    step = np.zeros((5, 6), dtype=np.float32)
    step[:, 3:] = 1
    assert roughness(step)[2].tolist() == [0, 0, 1, 1, 0, 0]


class TestPatchGrid:
    def test_the_papers_numbers(self):
        grid = PatchGrid.fit((128, 128), 32, 49)
        assert (grid.stride, len(grid)) == ((2, 2), 2401)

    @pytest.mark.parametrize("size", [24, 25, 32, 48, 64, 100, 128, 224])
    def test_defaults_scale_with_the_picture(self, size):
        grid = PatchGrid.fit((size, size), None, None)
        assert grid.patch == size // 4
        assert 1 < grid.n_rows <= 49
        assert grid.patch + grid.stride[0] * (grid.n_rows - 1) == size

    @pytest.mark.parametrize(
        ("n", "nearest"), [(45, "33 and 49"), (98, "97"), (2, "4"), ("many", "4 and 5 and")]
    )
    def test_a_grid_that_does_not_fit_is_refused_with_the_nearest(self, n, nearest):
        with pytest.raises(InputError, match=f"grid is {n!r}.*nearest that fit: {nearest}"):
            PatchGrid.fit((128, 128), 32, n)

    @pytest.mark.parametrize("patch", [3, 17, 8.0])
    def test_a_patch_that_does_not_fit_is_refused(self, patch):
        with pytest.raises(InputError, match="patch_size is"):
            PatchGrid.fit((16, 20), patch, None)

    def test_spread_keeps_the_edges(self):
        rows, columns = PatchGrid.fit((16, 20), 4, None).spread(4)
        assert rows.tolist() == [0, 4, 8, 12]
        assert columns.tolist() == [0, 5, 11, 16]
