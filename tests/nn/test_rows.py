"""Rows, batches and the scaling of bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairvision.nn import Batches, Rows, fingerprint, scale
from fairvision.nn.checks import hold_out, training_rows
from fairvision.nn.rows import split


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),  # never one row alone: batch normalisation cannot train on it
        (4, 4, [4]),
        (3, 4, [3]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),  # unless asked for
    ],
)
def test_an_epoch_is_cut_into_batches(n, size, expected):
    batches = split(torch.arange(n), size)
    assert [len(batch) for batch in batches] == expected
    assert torch.cat(batches).tolist() == list(range(n))


def test_bytes_become_zero_to_one_and_floats_stay():
    values = np.array([0, 51, 255], dtype=np.uint8)
    assert scale(values, "cpu", torch.float32).tolist() == pytest.approx([0, 0.2, 1])
    assert scale(values / 255, "cpu", torch.float32).dtype == torch.float32
    assert torch.equal(
        scale(values / 255, "cpu", torch.float32), scale(values, "cpu", torch.float32)
    )


def test_rows_are_cut_alike_in_every_column_and_in_a_subset():
    numbers = np.arange(12)
    images = np.tile(numbers.astype(np.uint8)[:, None, None, None], (1, 1, 2, 2))
    rows = Rows(images, numbers, numbers[:, None] * 10, numbers / 2)
    part = rows.subset(np.array([7, 2, 5]))
    batch = part.batch(torch.tensor([2, 0]), "cpu")
    assert len(part) == 3
    assert len(batch) == 2
    assert batch.targets.tolist() == [5, 7]
    assert batch.groups.tolist() == [[50], [70]]
    assert batch.weights.tolist() == [2.5, 3.5]
    assert (batch.images[:, 0, 0, 0] * 255).round().tolist() == [5, 7]


def test_each_iteration_is_an_epoch_in_an_order_of_its_own():
    rows = Rows(np.zeros((5, 1, 2, 2), np.uint8), np.arange(5))
    orders = iter([torch.tensor([4, 0, 2]), torch.tensor([1, 1])])
    batches = Batches(rows, 2, "cpu", lambda: next(orders), transform=lambda x: x + 1)
    first = list(batches)
    assert torch.cat([targets for _, targets in first]).tolist() == [4, 0, 2]
    assert all((batch.images == 1).all() for batch, _ in first)
    assert torch.cat([batch.rows for batch, _ in batches]).tolist() == [1, 1]


def test_parts_of_an_array_share_it_and_read_the_same(pictures):
    images = pictures.images
    rows = Rows(images, pictures.target)
    part = rows.subset(np.arange(1, 48, 2)).subset(np.array([5, 0, 3]))
    assert part.images.array is images
    expected = Rows(images[[11, 1, 7]], pictures.target[[11, 1, 7]])
    read = [r.batch(torch.tensor([2, 0]), "cpu").images for r in (part, expected)]
    assert torch.equal(*read)
    assert fingerprint(part) == fingerprint(expected)
    assert part.images.shape == expected.images.shape


def test_rows_of_weight_0_and_held_out_cost_no_copy(pictures):
    weights = np.ones(48)
    weights[::3] = 0
    kept = training_rows(pictures.images, pictures.target, None, weights, dtype=torch.float32)
    train, held_out = hold_out(kept, 0.25, 0)
    assert {part.images.array is pictures.images for part in (kept, train, held_out)} == {True}
    assert len(train) + len(held_out) == 32
    table = np.arange(12.0).reshape(6, 2)
    assert isinstance(Rows(table, np.zeros(6)).subset(np.array([1, 3])).images, np.ndarray)
