"""Which optimiser for a layer's weights: ``python benchmarks/intra_surrogates.py``.

The objective is the plugin's own: phi of a small net on 800 validation faces, as a function of
10 directions in the weights of each of its last two layers, 20 calls after the given net.
Optimisers that are not installed are left out (`pip install scikit-optimize bayesian-optimization
cmaes` brings them all). Printed: the mean of the best phi, and processor milliseconds a call
that the optimiser itself takes.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fairvision.datasets import biased_split, load
from fairvision.nn import TorchClassifier
from fairvision_intra._algorithm import Subspace
from fairvision_intra._bounded_performance import BoundedPerformance
from fairvision_intra._forward import Forward, layers_of
from fairvision_intra._surrogate import Surrogate

Evaluate = Callable[[np.ndarray], float]


def ours(kind: str) -> Callable[..., None]:
    def run(f: Evaluate, n: int, scale: float, n_calls: int, seed: int, given: float) -> None:
        surrogate = Surrogate(n, scale, kind, seed)
        surrogate.add(np.zeros(n), given)
        for _ in range(n_calls):
            surrogate.tell(f(surrogate.ask()))

    return run


def skopt(f: Evaluate, n: int, scale: float, n_calls: int, seed: int, given: float) -> None:
    from skopt import Optimizer

    box = [(-scale, scale)] * n
    optimizer = Optimizer(
        box, base_estimator="RF", random_state=seed, n_initial_points=6, acq_optimizer="sampling"
    )
    optimizer.tell([0.0] * n, -given)
    for _ in range(n_calls):
        x = optimizer.ask()
        optimizer.tell(x, -f(np.array(x)))


def bayes(f: Evaluate, n: int, scale: float, n_calls: int, seed: int, given: float) -> None:
    from bayes_opt import BayesianOptimization

    names = [f"x{i:02d}" for i in range(n)]
    box = dict.fromkeys(names, (-scale, scale))
    optimizer = BayesianOptimization(
        f=None, pbounds=box, random_state=seed, verbose=0, allow_duplicate_points=True
    )
    optimizer.register(dict.fromkeys(names, 0.0), given)
    rng = np.random.default_rng(seed)
    for i in range(n_calls):
        x = optimizer.suggest() if i >= 6 else dict(
            zip(names, rng.uniform(-scale, scale, n), strict=True)
        )  # fmt: skip
        optimizer.register(x, f(np.array([x[name] for name in names])))


def cmaes(f: Evaluate, n: int, scale: float, n_calls: int, seed: int, given: float) -> None:
    from cmaes import CMA

    box = np.array([[-scale, scale]] * n)
    optimizer = CMA(mean=np.zeros(n), sigma=scale / 4, bounds=box, seed=seed, population_size=5)
    for _ in range(n_calls // 5):
        points = [optimizer.ask() for _ in range(5)]
        optimizer.tell([(x, -f(x)) for x in points])


OPTIMIZERS: dict[str, tuple[str, Callable[..., None]]] = {
    "random": ("optuna", ours("random")),
    "optuna TPE": ("optuna", ours("tpe")),
    "optuna GP": ("optuna", ours("gp")),
    "scikit-optimize forest": ("skopt", skopt),
    "bayesian-optimization GP": ("bayes_opt", bayes),
    "cmaes": ("cmaes", cmaes),
}


def problem(seed: int, scale: float) -> Any:
    """The objective of each layer, and what the given net is worth."""
    data = load("faces", n_samples=5000, image_size=32, random_state=seed, target="smiling")
    split = biased_split(
        data, confounder="skin_group", confounding=0.8, n_train=2000, n_test=800, random_state=seed
    )
    net = TorchClassifier(max_epochs=8, random_state=seed)
    net.fit(data.images[split.train], split.target[split.train])
    rows = split.test
    forward = Forward(net.module_, data.images[rows])
    objective = BoundedPerformance(
        split.target[rows], split.confounder[rows], epsilon=0.03, rng=np.random.default_rng(0)
    )
    objective.set_floor(forward.scores())
    layers = layers_of(forward.module, forward.batch(slice(0, 2)))[-2:]
    return forward, objective, {layer: forward.resuming_at(layer) for layer in layers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    known = {n: how for n, (m, how) in OPTIMIZERS.items() if importlib.util.find_spec(m)}
    best: dict[str, list[float]] = {name: [] for name in ["given", *known]}
    cost = dict.fromkeys(known, 0.0)
    for seed in range(args.seeds):
        forward, objective, resumed = problem(seed, args.scale)
        given = objective.best_threshold(forward.scores()).value
        for (layer, part), repeat in ((item, r) for item in resumed.items() for r in range(2)):
            weight = f"{layer}.weight"
            generator = torch.Generator().manual_seed(repeat)
            space = Subspace(forward.weights()[weight], 10, generator)
            best["given"].append(given)
            for name, run in known.items():
                seen, inside = [given], 0.0

                def evaluate(x: np.ndarray) -> float:
                    nonlocal inside
                    start = time.process_time()
                    scores = part.scores({weight: space(torch.from_numpy(x))})  # noqa: B023
                    seen.append(objective.best_threshold(scores).value)  # noqa: B023
                    inside += time.process_time() - start
                    return seen[-1]  # noqa: B023

                start = time.process_time()
                run(evaluate, space.n_dims, args.scale, args.calls, repeat, given)
                cost[name] += time.process_time() - start - inside
                best[name].append(max(seen))
    for name, values in best.items():
        more = np.array(values) - best.get("random", values)
        half = 1.96 * more.std(ddof=1) / np.sqrt(len(more))
        each = "" if name == "given" else f"{cost[name] / len(values) / args.calls * 1e3:.1f} ms"
        gain = f"{more.mean():+.4f} +- {half:.4f} to random"
        print(f"| {name} | {np.mean(values):.4f} | {gain} | {each} |")


if __name__ == "__main__":
    main()
