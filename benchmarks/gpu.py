"""What a GPU makes of our training: ``python benchmarks/gpu.py [--device cuda:0] [--quick]``.

Everything in one run, taken in turn so that other work disturbs all alike; the first epoch or
chunk warms up and is not counted. The table shows medians over the rounds, and ratios as the
median of the ratio within a round, beside what is promised:

- an epoch of a loop written by hand, of a tuned one (images on the device, bfloat16, channels
  last, fused optimizer, no waiting), of `TorchClassifier` and of `JLUClassifier`;
- prediction beside a plain loop; threshold search and metrics;
- images a second of `ProgressiveGAN` at full resolution;
- the region classifier's epoch and maps, and its scoring of patches beside the CPU's.

Takes under six minutes on one card. ``--quick`` runs every path at a size that a CPU does in a
minute; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.frozen import FrozenEstimator

import fairvision as fv
from fairvision.metrics import evaluate_predictions
from fairvision.nn import TorchClassifier, choose_device
from fairvision.nn.backbones import build_classifier
from fairvision_attribution import RegionClassifier
from fairvision_jlu import JLUClassifier
from fairvision_latent import ProgressiveGAN

Seconds = dict[str, list[float]]


@dataclass
class Row:
    """A line of the table."""

    subject: str
    value: float
    unit: str
    ratio: float | None = None
    of: str = ""
    promised: str = ""

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x {self.of}"
        return f"{self.subject:44}{self.value:12.4g} {self.unit:12}{ratio:30}{self.promised}"


class Data:
    """Random images, labels and groups."""

    def __init__(self, n: int, size: int) -> None:
        rng = np.random.default_rng(0)
        self.X = rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8)
        self.y, self.groups = rng.integers(2, size=n), rng.integers(2, size=n)


def sync(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turn(contestants: dict[str, Callable[[], float]], rounds: int) -> Seconds:
    """What each contestant gives, in each round; another one begins each round."""
    taken: Seconds = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(contestants[name]())
    return taken


def ratio(taken: Seconds, name: str, base: str) -> float:
    return statistics.median(a / b for a, b in zip(taken[name], taken[base], strict=True))


def rows_of(label: str, taken: Seconds, bounds: dict[str, tuple[str, str]]) -> list[Row]:
    """Lines of seconds; `bounds` say to what each contestant is compared, and the promise."""
    rows = []
    for name, seconds in taken.items():
        base, promised = bounds.get(name, ("", ""))
        rows.append(Row(f"{label}: {name}", statistics.median(seconds), "s"))
        if base:
            rows[-1].ratio, rows[-1].of = ratio(taken, name, base), base
            rows[-1].promised = promised
    return rows


# -- training and prediction ------------------------------------------------------------


def loop(net: str, data: Data, batch: int, epochs: int, device: torch.device, tuned: bool) -> float:
    """Median seconds of an epoch, but the first, of what one would write without us."""
    module = build_classifier(net, None, data.X.shape[1:], 2).to(device).train()
    fused = tuned and device.type == "cuda"
    x, y = torch.from_numpy(data.X), torch.from_numpy(data.y)
    if tuned:
        module = module.to(memory_format=torch.channels_last)
        x, y = x.to(device), y.to(device)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=1e-3, weight_decay=0.0, fused=fused or None
    )
    seconds = []
    for _ in range(epochs):
        start, total = time.perf_counter(), torch.zeros((), device=device)
        order = torch.randperm(len(x), device=x.device)
        for rows in order.split(batch):
            images, labels = x[rows].to(device).float().div_(255), y[rows].to(device)
            if tuned:
                images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=tuned):
                loss = F.cross_entropy(module(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() if tuned else loss.item()
        total.item()
        sync(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def ours(model: TorchClassifier, data: Data) -> float:
    """The same of our training, as skorch's own clock has it: all but the preparation."""
    model.fit(data.X, data.y, sensitive_features=data.groups)
    return statistics.median(model.history_[1:, "dur"])


def plain_prediction(module: torch.nn.Module, X: np.ndarray, batch: int) -> np.ndarray:
    """Probabilities by hand, the same number of images at a time."""
    device, scores = next(module.parameters()).device, []
    with torch.inference_mode():
        for start in range(0, len(X), batch):
            images = torch.from_numpy(X[start : start + batch]).to(device).float().div_(255)
            scores.append(module(images).double().softmax(1))
        return torch.cat(scores).cpu().numpy()


def timed(function: Callable[[], Any]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return run


def training(net: str, data: Data, batch: int, args: argparse.Namespace) -> list[Row]:
    """Epochs of both loops, of `erm` and of `jlu`, then prediction."""
    device, epochs = args.device, args.epochs
    common = {
        "backbone": net, "batch_size": batch, "max_epochs": epochs, "device": str(device),
        "random_state": 0,
    }  # fmt: skip
    erm = TorchClassifier(**common)
    jlu = JLUClassifier(**common, warmup=0, ramp=0)
    taken = in_turn(
        {
            "hand loop": lambda: loop(net, data, batch, epochs, device, tuned=False),
            "tuned loop": lambda: loop(net, data, batch, epochs, device, tuned=True),
            "erm": lambda: ours(erm, data),
            "jlu": lambda: ours(jlu, data),
        },
        args.rounds,
    )
    size = f"{net} {data.X.shape[2]} px, batch {batch}"
    bounds = {
        "hand loop": ("tuned loop", ""),
        "erm": ("tuned loop", "1.05"),
        "jlu": ("erm", "1.20"),
    }
    rows = rows_of(f"{size}, epoch", taken, bounds)
    print(f"{size}: {', '.join(erm.accelerations_) or 'nothing accelerated'}", flush=True)
    at_once = batch if device.type == "cpu" else 4 * batch
    predict = {
        "plain loop": timed(lambda: plain_prediction(erm.module_, data.X, at_once)),
        "erm": timed(lambda: erm.predict_proba(data.X)),
    }
    for warm in predict.values():
        warm()
    rows += rows_of(
        f"{net}, prediction", in_turn(predict, 2 * args.rounds), {"erm": ("plain loop", "1.10")}
    )
    return rows + after_training(net, erm, data)


def after_training(net: str, erm: TorchClassifier, data: Data) -> list[Row]:
    """Threshold search and metrics with intervals, which run on the CPU."""
    search = fv.make("threshold-optimizer", estimator=FrozenEstimator(erm))
    found = timed(lambda: search.fit(data.X, data.y, sensitive_features=data.groups))()
    predicted = erm.predict(data.X)
    metrics = timed(
        lambda: evaluate_predictions(
            data.y, predicted, sensitive_features=data.groups, random_state=0
        )
    )()
    return [Row(f"{net}: threshold search", found, "s"), Row(f"{net}: metrics", metrics, "s")]


# -- the GAN, and data attribution -------------------------------------------------------


def gan(data: Data, width: int, args: argparse.Namespace, **params: Any) -> float:
    """Images a second at full resolution, both nets' steps and the lazy penalty included."""
    size = data.X.shape[2]
    model = ProgressiveGAN(
        max_width=width, base_width=params.pop("base_width"), batch_size=args.gan_batch,
        latent_dim=width, images_per_phase=1, final_images=10**9, device=str(args.device), **params,
    )  # fmt: skip
    model.image_shape_ = (3, size, size)
    trainer = model._trainer(data.X, args.device)
    trainer.step_number = trainer.schedule.total - trainer.schedule.final_steps
    rates = []
    for _ in range(args.rounds + 1):
        start = time.perf_counter()
        values = [trainer.step() for _ in range(args.gan_steps)]
        assert torch.stack(values).isfinite().all()
        rates.append(args.gan_steps * args.gan_batch / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def gan_rows(data: Data, args: argparse.Namespace) -> list[Row]:
    size, width, rows = data.X.shape[2], args.gan_width, []
    for base in (args.gan_width * 16, args.gan_width * size):
        at_end = min(width, base // size)
        label = f"GAN {size} px, width {width} to {at_end}, batch {args.gan_batch}"
        for name, params in (
            ("", {}),
            (", float32", {"amp": False}),
            (", augmented", {"augmentations": ("color", "translation", "cutout")}),
        ):
            rate = gan(data, width, args, base_width=base, **params)
            rows.append(Row(label + name, rate, "images/s", promised="" if name else "5000"))
    return rows


def attribution(data: Data, args: argparse.Namespace) -> list[Row]:
    """The region classifier in bfloat16, where the device computes in it, and on the CPU."""
    size, device = data.X.shape[2], str(args.device)
    model = RegionClassifier(max_epochs=args.epochs, map_rows=8, device=device, random_state=0)
    epoch = ours(model, data)
    there = {**model.get_params(deep=False), "device": "cpu", "max_epochs": 1}
    on_cpu = RegionClassifier(**there).fit(data.X[:64], data.y[:64])
    on_cpu.module_.load_state_dict(model.module_.state_dict())
    few = data.X[: args.n_cpu]

    def rate(regions: RegionClassifier, X: np.ndarray, **params: Any) -> float:
        regions.set_params(**params)
        regions.region_map(X[:8])
        return len(X) / timed(lambda: regions.region_map(X))()

    taken = in_turn(
        {
            "maps": lambda: rate(model, data.X, mixed_precision="auto"),
            "maps, float32": lambda: rate(model, data.X, mixed_precision=False),
            "CPU": lambda: rate(on_cpu, few),
        },
        args.rounds,
    )
    rows = [Row(f"regions {size} px: epoch", epoch, "s")]
    for name, rates in taken.items():
        rows.append(Row(f"regions {size} px: {name}", statistics.median(rates), "images/s"))
    rows[1].ratio, rows[1].of, rows[1].promised = ratio(taken, "maps", "CPU"), "CPU", "20"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("runs/gpu.json"))
    args = parser.parse_args()
    args.device = choose_device(args.device)
    quick = args.quick
    args.rounds, args.epochs = (1, 2) if quick else (7, 4)
    args.gan_width, args.gan_batch, args.gan_steps = (8, 4, 4) if quick else (256, 64, 50)
    args.n_cpu = 4 if quick else 32
    start, rows = time.perf_counter(), []
    small, large = (Data(64, 16), Data(24, 32)) if quick else (Data(10240, 64), Data(5120, 128))
    rows += training("small-cnn", small, 16 if quick else 64, args)
    rows += training("resnet18", large, 8 if quick else 128, args)
    rows += gan_rows(small, args)
    rows += attribution(Data(64, 32) if quick else Data(1024, 128), args)
    name = torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else "CPU"
    about = {
        "device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "quick": quick,
        "seconds": time.perf_counter() - start, "rows": [asdict(row) for row in rows],
    }  # fmt: skip
    print(f"\n{name}, torch {torch.__version__}, {about['seconds']:.0f} s")
    print(f"{'':44}{'median':>12} {'':12}{'ratio':30}promised")
    print("\n".join(map(str, rows)))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
