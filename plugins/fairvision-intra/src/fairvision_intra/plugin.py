"""What this distribution offers: descriptors only, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fairvision.hookspecs import hookimpl
from fairvision.types import Claims, Method, Needs, Reference, ReportSection

FAIRVISION_API = (1, 0)

SAVANI_2020 = Reference(
    title="Intra-Processing Methods for Debiasing Neural Networks",
    authors=("Yash Savani", "Colin White", "Naveen Sundar Govindarajulu"),
    year=2020,
    venue="NeurIPS",
    arxiv="2006.08564",
)

# The published objective bounds a gap, has no floor and does not weight groups.
AS_PUBLISHED = {
    "bias": "average_odds_difference",
    "performance": "balanced_accuracy",
    "epsilon": 0.05,
    "min_performance": 0.0,
    "allow_worse": True,
    "n_bootstrap": 5,
}

# For `fairvision check`: the smallest searches that work.
SMALL: dict[str, dict[str, Any]] = {
    "random-perturbation": {"n_trials": 11},
    "layerwise-optimization": {"n_layers": 2, "n_calls": 3, "n_dims": 3},
    "adversarial-fine-tuning": {"max_epochs": 2, "critic_steps": 20, "actor_steps": 10},
}
NO_GAIN = "it keeps the given net where too few held-out rows show a gain"

METHODS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "random-perturbation": (
        "fairvision_intra:RandomPerturbation",
        "Perturb a trained net's weights at random, keep the best within a bound on bias.",
        {"n_trials": 31},
        {"n_trials": 101, **AS_PUBLISHED},
    ),
    "layerwise-optimization": (
        "fairvision_intra:LayerwiseOptimization",
        "Optimise one layer of a trained net at a time within a bound on bias.",
        {"n_layers": 2, "n_calls": 15},
        {"n_calls": 20, **AS_PUBLISHED},
    ),
    "adversarial-fine-tuning": (
        "fairvision_intra:AdversarialFineTuning",
        "Fine-tune a trained net against its bias, on batches with as many rows of every cell.",
        {"max_epochs": 4},
        {
            "max_epochs": 10,
            "critic_steps": 301,
            "actor_steps": 401,
            "lr": 1e-4,
            "penalty": 20.0,
            "critic": "features",
            "sampling": "natural",
            "n_folds": 1,
            **AS_PUBLISHED,
        },
    ),
}


# For a pretrained net on photographs: all but its last layers is computed once and stays.
PRETRAINED: dict[str, dict[str, Any]] = {
    "adversarial-fine-tuning": {"n_layers": 2, "lr": 3e-4, "max_epochs": 3}
}


@hookimpl
def fairvision_postprocessing() -> Iterable[Method]:
    for name, (target, summary, quick, paper) in METHODS.items():
        presets = {"quick": quick, "paper": paper}
        if name in PRETRAINED:
            presets["pretrained"] = PRETRAINED[name]
        yield Method(
            name,
            target,
            summary,
            reference=SAVANI_2020,
            needs=Needs(validation=True),
            targets=("binary",),
            presets=presets,
            claims=Claims(params=SMALL[name], no_gain_reason=NO_GAIN),
        )


@hookimpl
def fairvision_report_sections() -> Iterable[ReportSection]:
    yield ReportSection(
        "intra-pareto",
        "fairvision_intra:pareto_figure",
        "What each trial gave: performance against bias",
        methods=tuple(METHODS),
    )
