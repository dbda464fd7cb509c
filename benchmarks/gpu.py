"""What a GPU makes of our training: ``python benchmarks/gpu.py [--device cuda:0] [--quick]``.

Everything in one run, taken in turn so that other work disturbs all alike; the first epoch or
chunk warms up and is not counted. The table shows medians over the rounds, and ratios as the
median of the ratio within a round, beside what is promised:

- an epoch of a loop written by hand, of a tuned one (images on the device, bfloat16, channels
  last, fused optimizer, no waiting), of `TorchClassifier` and of `JLUClassifier`;
- prediction beside a plain loop; threshold search and metrics;
- images a second of `ProgressiveGAN` at full resolution;
- the region classifier's epoch and maps, and its scoring of patches beside the CPU's.

Takes under six minutes on one card: after ``--minutes`` no further round begins. What fails stands
in its row, and the rest goes on; the JSON file is written after each section. ``--quick`` runs
every path at a size that a CPU does in a minute; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.frozen import FrozenEstimator

import fairvision as fv
from fairvision.metrics import evaluate_predictions
from fairvision.nn import TorchClassifier, choose_device, inference_size, isolated_rng
from fairvision.nn.backbones import build_classifier
from fairvision_attribution import RegionClassifier
from fairvision_jlu import JLUClassifier
from fairvision_latent import ProgressiveGAN

Seconds = dict[str, list[float]]


@dataclass
class Row:
    """A line of the table; without a value where it failed."""

    subject: str
    value: float | None = None
    unit: str = ""
    ratio: float | None = None
    of: str = ""
    promised: str = ""
    error: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.subject:44}{'failed':>12} {self.error}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x {self.of}"
        return f"{self.subject:44}{self.value:12.4g} {self.unit:12}{ratio:30}{self.promised}"


class Table(list[Row]):
    """Lines, beside the time after which no further round begins."""

    end = float("inf")

    @contextmanager
    def keep_going(self, subject: str) -> Iterator[None]:
        """Make a line of what fails inside the block."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.append(Row(subject, error=f"{type(error).__name__}: {error}".partition("\n")[0]))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


class Data:
    """Random images, labels and groups."""

    def __init__(self, n: int, size: int) -> None:
        rng = np.random.default_rng(0)
        self.X = rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8)
        self.y, self.groups = rng.integers(2, size=n), rng.integers(2, size=n)


def sync(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turn(
    table: Table, label: str, contestants: dict[str, Callable[[], float]], rounds: int
) -> Seconds:
    """What each contestant gives, in each round; another one begins each round."""
    taken: Seconds = {name: [] for name in contestants}
    for turn in range(rounds):
        names = list(taken)
        first = turn % max(len(names), 1)
        for name in names[first:] + names[:first]:
            seconds = taken.pop(name)  # one that fails has no part in what follows
            with table.keep_going(f"{label}: {name}"):
                taken[name] = [*seconds, contestants[name]()]
        if time.perf_counter() > table.end:
            break
    return {name: taken[name] for name in contestants if name in taken}


def add_rows(
    table: Table, label: str, unit: str, taken: Seconds, bounds: dict[str, tuple[str, str]]
) -> None:
    """Add medians; `bounds` say to what each contestant is compared, and the promise."""
    for name, values in taken.items():
        base, promised = bounds.get(name, ("", ""))
        row = Row(f"{label}: {name}", statistics.median(values), unit, promised=promised)
        if base in taken:
            pairs = zip(values, taken[base], strict=True)
            row.ratio, row.of = statistics.median(a / b for a, b in pairs), base
        table.append(row)


# -- training and prediction ------------------------------------------------------------


def loop(net: str, data: Data, batch: int, epochs: int, device: torch.device, tuned: bool) -> float:
    """Median seconds of an epoch, but the first, of what one would write without us."""
    torch.backends.cudnn.benchmark = tuned
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
    torch.backends.cudnn.benchmark = False
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


def training(table: Table, net: str, data: Data, batch: int, args: argparse.Namespace) -> None:
    """Epochs of both loops, of `erm` and of `jlu`, then prediction."""
    device, epochs = args.device, args.epochs
    common = {
        "backbone": net, "batch_size": batch, "max_epochs": epochs, "device": str(device),
        "random_state": 0,
    }  # fmt: skip
    erm = TorchClassifier(**common)
    jlu = JLUClassifier(**common, warmup=0, ramp=0)
    label = f"{net} {data.X.shape[2]} px, batch {batch}, epoch"
    contestants = {
        "hand loop": lambda: loop(net, data, batch, epochs, device, tuned=False),
        "tuned loop": lambda: loop(net, data, batch, epochs, device, tuned=True),
        "erm": lambda: ours(erm, data),
        "jlu": lambda: ours(jlu, data),
    }
    bounds = {
        "hand loop": ("tuned loop", ""),
        "erm": ("tuned loop", "1.05"),
        "jlu": ("erm", "1.20"),
    }
    add_rows(table, label, "s", in_turn(table, label, contestants, args.rounds), bounds)
    print(f"{label}: {', '.join(erm.accelerations_) or 'nothing accelerated'}", flush=True)
    at_once = inference_size(batch, device)
    predict = {
        "plain loop": timed(lambda: plain_prediction(erm.module_, data.X, at_once)),
        "erm": timed(lambda: erm.predict_proba(data.X)),
    }
    for warm in predict.values():
        warm()
    label = f"{net}, prediction"
    taken = in_turn(table, label, predict, 2 * args.rounds)
    add_rows(table, label, "s", taken, {"erm": ("plain loop", "1.10")})
    after_training(table, net, erm, data)


def after_training(table: Table, net: str, erm: TorchClassifier, data: Data) -> None:
    """Threshold search and metrics with intervals, which run on the CPU."""
    with table.keep_going(f"{net}: threshold search"):
        search = fv.make("threshold-optimizer", estimator=FrozenEstimator(erm))
        fit = timed(lambda: search.fit(data.X, data.y, sensitive_features=data.groups))
        table.append(Row(f"{net}: threshold search", fit(), "s"))
    with table.keep_going(f"{net}: metrics"):
        columns = {"sensitive_features": data.groups, "random_state": 0}
        predicted = erm.predict(data.X)
        metrics = timed(lambda: evaluate_predictions(data.y, predicted, **columns))
        table.append(Row(f"{net}: metrics", metrics(), "s"))


# -- the GAN, and data attribution -------------------------------------------------------


def gan(data: Data, width: int, end: float, args: argparse.Namespace, **params: Any) -> float:
    """Images a second at full resolution, both nets' steps and the lazy penalty included."""
    size = data.X.shape[2]
    model = ProgressiveGAN(
        max_width=width, batch_size=args.gan_batch, latent_dim=width, images_per_phase=1,
        final_images=10**9, device=str(args.device), **params,
    )  # fmt: skip
    model.image_shape_ = (3, size, size)
    with isolated_rng(0, args.device):  # with deterministic kernels, as `fit` has it
        trainer = model._trainer(data.X, args.device)
        trainer.step_number = trainer.schedule.total - trainer.schedule.final_steps
        rates = []
        for _ in range(args.rounds + 1):
            start = time.perf_counter()
            values = [trainer.step() for _ in range(args.gan_steps)]
            if not bool(torch.stack(values).isfinite().all()):  # it also waits for the last step
                raise FloatingPointError("the GAN's losses are not finite")
            rates.append(args.gan_steps * args.gan_batch / (time.perf_counter() - start))
            if len(rates) > 1 and time.perf_counter() > end:
                break
    return statistics.median(rates[1:])


def gans(table: Table, data: Data, args: argparse.Namespace) -> None:
    """At two widths, as it comes, in single precision and with augmentation."""
    size, width = data.X.shape[2], args.gan_width
    every = ("color", "translation", "cutout")
    variants = {"": {}, ", float32": {"amp": False}, ", augmented": {"augmentations": every}}
    for base in (width * 16, width * size):
        at_end = min(width, base // size)
        label = f"GAN {size} px, width {width} to {at_end}, batch {args.gan_batch}"
        for name, params in variants.items():
            with table.keep_going(label + name):
                rate = gan(data, width, table.end, args, base_width=base, **params)
                table.append(Row(label + name, rate, "images/s", promised="" if name else "5000"))


def attribution(table: Table, data: Data, args: argparse.Namespace) -> None:
    """The region classifier in bfloat16, where the device computes in it, and on the CPU."""
    size, device = data.X.shape[2], str(args.device)
    model = RegionClassifier(max_epochs=args.epochs, map_rows=8, device=device, random_state=0)
    table.append(Row(f"regions {size} px: epoch", ours(model, data), "s"))
    there = {**model.get_params(deep=False), "device": "cpu", "max_epochs": 1}
    on_cpu = RegionClassifier(**there).fit(data.X[:64], data.y[:64])
    on_cpu.module_.load_state_dict(model.module_.state_dict())
    few = data.X[: args.n_cpu]

    def rate(regions: RegionClassifier, X: np.ndarray, **params: Any) -> float:
        regions.set_params(**params)
        regions.region_map(X[:8])
        return len(X) / timed(lambda: regions.region_map(X))()

    contestants = {
        "maps": lambda: rate(model, data.X, amp="auto"),
        "maps, float32": lambda: rate(model, data.X, amp=False),
        "CPU": lambda: rate(on_cpu, few),
    }
    label = f"regions {size} px"
    taken = in_turn(table, label, contestants, args.rounds)
    add_rows(table, label, "images/s", taken, {"maps": ("CPU", "20")})


def write(path: Path, table: Table, about: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, "rows": [asdict(row) for row in table]}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=5.5)
    parser.add_argument("--json", type=Path, default=Path("runs/gpu.json"))
    args = parser.parse_args()
    args.device = choose_device(args.device)
    quick = args.quick
    args.rounds, args.epochs = (1, 2) if quick else (7, 4)
    args.gan_width, args.gan_batch, args.gan_steps = (8, 4, 4) if quick else (256, 64, 50)
    args.n_cpu = 4 if quick else 32
    small, large = (Data(64, 16), Data(24, 32)) if quick else (Data(10240, 64), Data(5120, 128))
    patches = Data(64, 32) if quick else Data(1024, 128)
    sections: dict[str, tuple[float, Callable[[], None]]] = {  # with the share of time left
        "small-cnn": (0.3, lambda: training(table, "small-cnn", small, 8 if quick else 64, args)),
        "resnet18": (0.5, lambda: training(table, "resnet18", large, 8 if quick else 128, args)),
        "GAN": (0.7, lambda: gans(table, small, args)),
        "regions": (1, lambda: attribution(table, patches, args)),
    }
    start, table = time.perf_counter(), Table()
    name = torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else "CPU"
    about = {
        "device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "quick": quick
    }  # fmt: skip
    for section, (share, run) in sections.items():
        began = time.perf_counter()
        table.end = began + share * (60 * args.minutes - (began - start))
        with table.keep_going(section):
            run()
        about["seconds"] = round(time.perf_counter() - start, 1)
        write(args.json, table, about)
        print(f"{section}: {time.perf_counter() - began:.0f} s", flush=True)
    print(f"\n{name}, torch {torch.__version__}, {about['seconds']:.0f} s")
    print(f"{'':44}{'median':>12} {'':12}{'ratio':30}promised")
    print("\n".join(map(str, table)))


if __name__ == "__main__":
    main()
