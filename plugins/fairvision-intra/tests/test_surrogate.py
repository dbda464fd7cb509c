"""The surrogate optimiser finds what random proposals do not, and leaves optuna's log alone."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from fairvision_intra._surrogate import SURROGATES, Surrogate


def best(kind: str, seed: int, n_calls: int = 25) -> float:
    surrogate, found = Surrogate(4, 2.0, kind, seed), []
    for _ in range(n_calls):
        x = surrogate.ask()
        assert x.shape == (4,)
        assert (np.abs(x) <= 2).all()
        found.append(-float(((x - 0.7) ** 2).sum()))
        surrogate.tell(found[-1])
    return max(found)


@pytest.mark.parametrize("kind", ["gp", "tpe"])
def test_a_surrogate_is_ahead_of_random(kind: str) -> None:
    surrogate, random = (np.mean([best(k, s, 14) for s in range(3)]) for k in (kind, "random"))
    assert surrogate > random


@pytest.mark.parametrize("kind", SURROGATES)
def test_same_seed_same_proposals_and_a_quiet_log(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = optuna.logging.get_verbosity()
    runs = []
    for _ in range(2):
        surrogate = Surrogate(3, 1.0, kind, 5)
        surrogate.add(np.zeros(3), 0.5)
        points = []
        for value in range(8):
            points.append(surrogate.ask())
            surrogate.tell(float(value))
        runs.append(points)
    assert np.array_equal(*runs)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr().err == ""
