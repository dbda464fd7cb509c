"""A surrogate model that proposes points: a thin layer over optuna's samplers."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

__all__ = ["SURROGATES", "Surrogate"]

# Points drawn at random before the model proposes any.
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
        A key of `SURROGATES`.
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
        self._trial = self._study.ask(self._space)
        return np.array([self._trial.params[name] for name in self._space])

    def tell(self, value: float) -> None:
        """The function's value at the last point of `ask`."""
        self._study.tell(self._trial, value)

    def add(self, steps: NDArray[np.float64], value: float) -> None:
        """A point and its value that did not come from `ask`."""
        params = dict(zip(self._space, steps.tolist(), strict=True))
        trial = optuna.trial.create_trial(params=params, distributions=self._space, value=value)
        self._study.add_trial(trial)
