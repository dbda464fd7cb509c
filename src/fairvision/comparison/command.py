"""The command that does a comparison again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from fairvision.comparison.plan import ON_FEATURES

__all__ = ["command"]

# Parameters of loaders that `fairvision compare` has options for.
_OPTIONS = {
    "root", "labels", "split_column", "cache", "skip_bad", "target", "sensitive", "image_size",
    "n_samples",
}  # fmt: skip
_FEATURES = {
    "backbone": "--backbone",
    "weights": "--weights",
    "layer": "--layer",
    "image_size": "--features-size",
    "cache": "--features-cache",
}
_SPLIT = ("confounding", "counterexamples", "n_train", "n_test", "validation_fraction")


def command(plan: Mapping[str, Any]) -> str:
    """``fairvision compare ...``, or the call in Python where the shell cannot say it.

    Parameters
    ----------
    plan : mapping
        Of `Plan.to_dict`.
    """
    return shlex.join(_words(plan)) if _in_words(plan) else _call(plan)


def _in_words(plan: Mapping[str, Any]) -> bool:
    """Whether the shell command has an option for everything."""
    seeds = list(plan["seeds"])
    return (
        plan["dataset"]["name"] != "given"
        and set(plan["dataset"]["params"]) <= _OPTIONS
        and seeds == list(range(len(seeds)))
        and not any(m.get("estimator") for m in plan["methods"])
        and _net_in_words(plan)
        and all(m["label"] in _names(m) for m in plan["methods"] if not m.get("balanced"))
        and len(_presets(plan)) <= 1
    )


def _net_in_words(plan: Mapping[str, Any]) -> bool:
    features = plan.get("features") or {}
    return (
        set(plan.get("shared_params") or {}) <= {"backbone", "weights", "trainable", "trunk_lr"}
        and features.get("backbone") != "a module"
        and not isinstance(features.get("image_size"), list)
    )


def _names(method: Mapping[str, Any]) -> tuple[str, str]:
    return method["name"], method["name"].rpartition(":")[2]


def _presets(plan: Mapping[str, Any]) -> set[str]:
    held = [m for method in plan["methods"] for m in (method, method["model"] or {})]
    return {m["preset"] for m in held if m.get("preset")}


def _words(plan: Mapping[str, Any]) -> list[str]:
    dataset, split, methods = plan["dataset"], plan["split"], plan["methods"]
    words = ["fairvision", "compare", "--dataset", dataset["name"]]
    for name, value in dataset["params"].items():
        option = f"--{name.replace('_', '-')}"
        several = ",".join(value) if isinstance(value, list) else str(value)
        words += [option] if name == "skip_bad" else [option, several]
    for name in _SPLIT:
        if split.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", str(split[name])]
    if split["by"] == "random":
        words += ["--test-size", str(split["test_size"])]
    methods = [method for method in methods if not method.get("balanced")]
    words += ["--methods", ",".join(method["label"] for method in methods)]
    words += ["--keep-models"] if plan.get("keep_models") else []
    words += ["--budget", f"{plan['budget']:g}s"] if plan.get("budget") else []
    words += ["--balanced-baseline"] if len(methods) < len(plan["methods"]) else []
    words += ["--seeds", str(len(plan["seeds"])), "--epochs", str(plan["max_epochs"])]
    words += ["--preset", next(iter(_presets(plan)), ""), "--threads", str(plan["n_threads"])]
    words += ["--n-boot", str(plan["n_boot"]), "--device", plan["device"]]
    shared = plan.get("shared_params") or {}
    for name, value in shared.items():
        option = f"--{name.replace('_', '-')}"
        words += [option, ",".join(value) if isinstance(value, list) else str(value)]
    if plan.get("features"):
        shared = {**ON_FEATURES, **shared}
    return [*words, *_features(plan.get("features")), *_settings(methods, shared)]


def _features(features: Mapping[str, Any] | None) -> Iterator[str]:
    if features:
        yield "--features"
        for name in _FEATURES:
            if features[name] is not None:
                yield from (_FEATURES[name], str(features[name]))


def _settings(methods: list[Mapping[str, Any]], shared: Mapping[str, Any]) -> Iterator[str]:
    for method in methods:
        for name, value in method["params"].items():
            if name not in shared or shared[name] != value:
                yield from ("--set", f"{method['label']}.{name}={json.dumps(value)}")


def _call(plan: Mapping[str, Any]) -> str:
    dataset, split = plan["dataset"], plan["split"]
    is_bunch = dataset["name"] == "given"
    methods = [m for m in plan["methods"] if not m.get("balanced")]
    options = {
        "seeds": list(plan["seeds"]),
        **({} if is_bunch else {"dataset_params": dataset["params"]}),
        **{name: split[name] for name in _SPLIT if split.get(name) is not None},
        **({"test_size": split["test_size"]} if split["by"] == "random" else {}),
        **({"balanced_baseline": True} if len(methods) < len(plan["methods"]) else {}),
        **({name: plan[name] for name in ("keep_models", "budget") if plan.get(name)}),
        "max_epochs": plan["max_epochs"],
        "preset": next(iter(_presets(plan)), None),
        "n_threads": plan["n_threads"],
        "n_boot": plan["n_boot"],
        "device": plan["device"],
    }
    if shared := plan.get("shared_params"):
        options["shared_params"] = dict(shared)
    if features := plan.get("features"):
        given_to_net = {name: features[name] for name in _FEATURES if features[name] is not None}
        options["features"] = _Code(
            f"FeatureExtractor({', '.join(f'{k}={v!r}' for k, v in given_to_net.items())})"
        )
    entries = ", ".join(f"{m['label']!r}: {_method(m)}" for m in methods)
    lines = ["dataset" if is_bunch else repr(dataset["name"]), f"{{{entries}}}"]
    lines += [f"{name}={value!r}" for name, value in options.items()]
    return "fairvision.compare(\n" + "".join(f"    {line},\n" for line in lines) + ")"


class _Code(str):
    """Python, and no text in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _method(method: Mapping[str, Any]) -> str:
    """A method in Python; of an estimator that was passed, its class."""
    if method.get("estimator"):
        return f"{method['name']}(...)"
    return repr((method["name"], method["params"]))
