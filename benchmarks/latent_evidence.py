"""What augmentation with latent pairs does to AP, DEO, bias amplification and KL, beside controls.

``python benchmarks/latent_evidence.py --gan DIR [--data faces|utkface --root DIR] [--seeds 5]``,
where DIR is what latent_gan.py wrote. Every method takes as many optimisation steps. Values are
at the threshold calibrated on validation rows; test rows are balanced over the four cells.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from latent_data import CONFOUNDING, add_arguments, load
from scipy.stats import t as student
from sklearn.frozen import FrozenEstimator

from fairvision.datasets import FaceGenerator
from fairvision.metrics import calibrated_threshold, evaluate_predictions
from fairvision.nn import TorchClassifier
from fairvision_latent import LatentPairSampler, ProgressiveGAN

METRICS = {
    "average_precision": "AP",
    "deo": "DEO",
    "bias_amplification_calibrated": "BA",
    "score_kl": "KL",
}
Data = tuple[np.ndarray, np.ndarray, np.ndarray]
Train = Callable[[Data, int, TorchClassifier], TorchClassifier]


def erm(train: Data, seed: int, model: TorchClassifier) -> TorchClassifier:
    return model.fit(train[0], train[1])


def erm_third(train: Data, seed: int, model: TorchClassifier) -> TorchClassifier:
    """As many passes over the real rows as beside two generated ones each."""
    return erm(train, seed, model.set_params(max_epochs=model.max_epochs // 3))


def reweighing(train: Data, seed: int, model: TorchClassifier) -> TorchClassifier:
    """P(y) P(a) / P(y, a) as sample weights."""
    X, y, a = train
    joint = np.histogram2d(y, a, bins=2)[0] / len(y)
    weights = np.outer(joint.sum(1), joint.sum(0)) / joint
    return model.fit(X, y, sample_weight=weights[y, a])


class Augmented:
    """Real rows and pairs of a generator; a sampler a seed, so labels vary as well."""

    def __init__(self, generator: Any, **params: Any) -> None:
        self.generator, self.params = generator, params
        self.samplers: list[LatentPairSampler] = []

    def __call__(self, train: Data, seed: int, model: TorchClassifier) -> TorchClassifier:
        X, y, a = train
        sampler = LatentPairSampler(self.generator, random_state=seed, **self.params)
        images, targets = sampler.fit_resample(X, y, sensitive_features=a)
        self.samplers.append(sampler)
        # As many steps as the others take in three times as many epochs of a third of the rows.
        model.set_params(max_epochs=max(1, round(model.max_epochs * len(X) / len(images))))
        return model.fit(images, targets)


def methods(args: argparse.Namespace) -> dict[str, Train]:
    made: dict[str, Train] = {
        "erm": erm,
        "erm, a third of the steps": erm_third,
        "reweighing": reweighing,
    }
    sources: dict[str, Any] = {}
    if args.gan:
        sources["GAN"] = FrozenEstimator(ProgressiveGAN.load(args.gan))
    if args.data == "faces":
        correlation = {("eyeglasses", "hat"): CONFOUNDING["faces"]}
        sources["perfect G"] = FaceGenerator(32, correlation=correlation)
    for name, source in sources.items():
        made[name] = Augmented(source)
        if args.more:
            made[f"{name}, domain-dependent"] = Augmented(source, domain_dependent=True)
            made[f"{name}, protected-only"] = Augmented(source, variant="protected-only")
            made[f"{name}, reweighed labels"] = Augmented(source, reweigh_labels=True)
    return {k: v for k, v in made.items() if not args.only or k in args.only.split(";")}


def measure(model: TorchClassifier, data: Any, seed: int) -> dict[str, Any]:
    """The paper's four numbers on the test rows, each with a 500-draw interval."""
    _, y_val, _ = data.val
    cut = calibrated_threshold(y_val, model.predict_proba(data.val[0])[:, 1])
    X, y, a = data.test
    score = model.predict_proba(X)[:, 1]
    found = evaluate_predictions(
        y,
        score >= cut,
        sensitive_features=a,
        y_score=score,
        metrics=list(METRICS),
        threshold=cut,
        train=(data.train[1], data.train[2]),
        n_boot=500,
        random_state=seed,
    )
    values: dict[str, Any] = {}
    for name, short in METRICS.items():
        row = found.interval(name)
        values |= {short: 100 * row["value"], f"{short} low": 100 * row["lower"]}
        values[f"{short} high"] = 100 * row["upper"]
    for key in (k for k in values if k.startswith("KL")):
        values[key] /= 100
    right = (score >= cut) == y
    values["worst cell"] = 100 * min(
        right[(y == t) & (a == g)].mean() for t in (0, 1) for g in (0, 1)
    )
    return values


def interval(x: np.ndarray) -> str:
    if len(x) < 2:
        return f"{x.mean():+.2f}"
    half = student.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return f"{x.mean():+.2f} [{x.mean() - half:+.2f}, {x.mean() + half:+.2f}]"


def report(results: dict[str, pd.DataFrame]) -> None:
    shorts = list(METRICS.values())
    print("\nMean over seeds [mean of the 500-draw 95 % intervals over test rows]:\n")
    print("| method | " + " | ".join(shorts) + " | worst cell |\n|" + "---|" * (len(shorts) + 2))
    for name, frame in results.items():
        mean = frame.mean()
        cells = [f"{mean[s]:.2f} [{mean[f'{s} low']:.2f}, {mean[f'{s} high']:.2f}]" for s in shorts]
        print(f"| {name} | " + " | ".join([*cells, f"{mean['worst cell']:.1f}"]) + " |")
    print(
        "\nMinus erm, paired by seed [95 % t-interval]; in brackets the relative change of DEO:\n"
    )
    print("| method | " + " | ".join(shorts) + " | worst cell |\n|" + "---|" * (len(shorts) + 2))
    base = results["erm"]
    for name, frame in results.items():
        if name == "erm":
            continue
        cells = [interval((frame[s] - base[s]).to_numpy()) for s in (*shorts, "worst cell")]
        cells[1] += f" ({100 * (frame['DEO'].mean() / base['DEO'].mean() - 1):+.0f} %)"
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--gan", help="folder of a saved ProgressiveGAN")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12, help="of real rows alone")
    parser.add_argument("--more", action="store_true", help="variants of the method, too")
    parser.add_argument("--only", help="names with semicolons")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, chosen = load(args.data, args.root), methods(args)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for seed in range(args.seeds):
        for name, train in chosen.items():
            began = time.process_time()
            model = TorchClassifier(max_epochs=args.epochs, device="cpu", random_state=seed)
            rows[name].append(measure(train(data.train, seed, model), data, seed))
            brief = {
                k: round(v, 2) for k, v in rows[name][-1].items() if " l" not in k and " h" not in k
            }
            print(f"seed {seed}, {name}: {brief}, {time.process_time() - began:.0f} s", flush=True)
    for name, method in chosen.items():
        if isinstance(method, Augmented):
            tables = [s.label_agreement_ for s in method.samplers]
            print(f"\n{name}: pairs in the eyes of classifiers of another split")
            print((sum(tables) / len(tables)).round(3).to_string())
            planes = method.samplers[0].hyperplanes_.values()
            print(
                {h.name: round(h.accuracy, 3) for h in planes}, method.samplers[0].table_.to_dict()
            )
    report({name: pd.DataFrame(found) for name, found in rows.items()})


if __name__ == "__main__":
    main()
