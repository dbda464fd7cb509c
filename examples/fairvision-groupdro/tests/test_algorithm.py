"""The equations: limiting cases first."""

from __future__ import annotations

import pytest
import torch

from fairvision_groupdro._algorithm import adjusted, cell_losses, raised

Q = torch.full((3,), 1 / 3)
EVERY = torch.ones(3, dtype=torch.bool)


def test_no_step_keeps_the_weights() -> None:
    torch.testing.assert_close(raised(Q, torch.tensor([3.0, 2.0, 1.0]), EVERY, 0.0), Q)


def test_the_weights_are_those_of_the_paper() -> None:
    losses = torch.tensor([0.5, 1.0, 2.0])
    q = raised(Q, losses, EVERY, 0.3)
    expected = Q * torch.exp(0.3 * losses)
    torch.testing.assert_close(q, expected / expected.sum())


def test_a_long_climb_ends_at_the_worst_cell() -> None:
    q = Q
    for _ in range(200):
        q = raised(q, torch.tensor([1.0, 1.2, 1.1]), EVERY, 0.5)
    assert q[1] > 0.99


def test_an_absent_cell_is_not_raised() -> None:
    q = raised(Q, torch.tensor([5.0, 1.0, 1.0]), torch.tensor([False, True, True]), 1.0)
    assert q[0] < q[1] == q[2]


def test_a_huge_loss_overflows_nothing() -> None:
    assert raised(Q, torch.tensor([1e6, 1.0, 1.0]), EVERY, 1.0).tolist() == [1.0, 0.0, 0.0]


def test_cell_losses_are_means() -> None:
    losses = torch.tensor([1.0, 3.0, 5.0])
    means, present = cell_losses(losses, torch.tensor([0, 0, 2]), 3)
    assert means.tolist() == [2.0, 0.0, 5.0]
    assert present.tolist() == [True, False, True]


def test_a_row_of_weight_two_is_two_rows() -> None:
    once, _ = cell_losses(
        torch.tensor([1.0, 4.0]), torch.tensor([0, 0]), 1, torch.tensor([2.0, 1.0])
    )
    assert once.tolist() == [2.0]


def test_small_cells_are_adjusted_more() -> None:
    found = adjusted(torch.zeros(2), torch.tensor([4, 100]), 2.0)
    assert found.tolist() == pytest.approx([1.0, 0.2])
