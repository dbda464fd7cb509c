"""The options that say who does the runs of a comparison, and how often a training is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--jobs", type=int, default=1, show_default=True, help="Runs at a time; -1 for one a core."
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="CPU threads of a run.",
    ),
    click.option(
        "--backend",
        type=click.Choice(["loky", "dask", "ray"]),
        default="loky",
        show_default=True,
        help="Who does the runs: processes of this machine, or workers of Dask or Ray. The numbers "
        "are the same.",
    ),
    click.option(
        "--address",
        help="Of a Dask scheduler or Ray cluster that runs already, such as tcp://HOST:8786; "
        "without it, --backend starts --jobs workers on this machine.",
    ),
    click.option(
        "--checkpoint-every",
        type=click.IntRange(1),
        metavar="N",
        help="Keep each training in --out every N epochs: a killed run goes on there.",
    ),
)


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, in the order in which they stand above."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def where(options: Mapping[str, Any]) -> dict[str, Any]:
    """What was given for them, as `fairvision.compare` names it."""
    return {
        "n_jobs": options["jobs"],
        "n_threads": options["threads"],
        "backend": options["backend"],
        "address": options["address"],
        "checkpoint_every": options["checkpoint_every"],
    }
