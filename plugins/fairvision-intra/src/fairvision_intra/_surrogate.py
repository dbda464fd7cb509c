"""Proposals from a surrogate model: optuna's samplers, asked and told one point at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

__all__ = ["SURROGATES", "Surrogate"]

# Points drawn at random before the model has anything to go by.
_STARTUP = 6
SURROGATES = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, n_startup_trials=_STARTUP),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


class Surrogate:
    """Maximises a function over a box around 0.

    Parameters
    ----------
    n_dims : int
    scale : float
        Half the width of the box.
    kind : str
        One of `SURROGATES`.
    seed : int
    """

    def __init__(self, n_dims: int, scale: float, kind: str, seed: int) -> None:
        box = optuna.distributions.FloatDistribution(-scale, scale)
        self._space: dict[str, Any] = {f"step_{i}": box for i in range(n_dims)}
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces each new study
        try:
            self._study = optuna.create_study(direction="maximize", sampler=SURROGATES[kind](seed))
        finally:
            optuna.logging.set_verbosity(level)

    def ask(self) -> NDArray[np.float64]:
        """A point to try, of shape (n_dims,)."""
        self._asked = self._study.ask(self._space)
        return np.array([self._asked.params[name] for name in self._space])

    def tell(self, value: float) -> None:
        """What the point asked last is worth."""
        self._study.tell(self._asked, value)

    def know(self, steps: NDArray[np.float64], value: float) -> None:
        """A point whose worth is known without asking."""
        params = dict(zip(self._space, steps.tolist(), strict=True))
        known = optuna.trial.create_trial(params=params, distributions=self._space, value=value)
        self._study.add_trial(known)
