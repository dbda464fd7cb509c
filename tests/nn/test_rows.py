"""Rows, batches and the scaling of bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairvision.nn import Batches, Rows, scale
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
