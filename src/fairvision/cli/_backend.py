"""The options that say where runs are done, and how often checkpoints are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from fairvision.cli._method import all_of

backend_options = all_of(
    click.option("--jobs", type=int, default=1, help="Runs at a time; -1 for one a core."),
    click.option("--threads", type=click.IntRange(1), default=1, help="CPU threads of a run."),
    click.option(
        "--backend",
        type=click.Choice(["loky", "dask", "ray"]),
        default="loky",
        help="Where runs are done: in processes of this machine, or by workers of Dask or Ray. The "
        "numbers are the same.",
    ),
    click.option(
        "--address",
        help="Of a running Dask scheduler or Ray cluster, such as tcp://HOST:8786; "
        "without it, --backend starts --jobs workers on this machine.",
    ),
    click.option(
        "--checkpoint-every",
        type=click.IntRange(1),
        metavar="N",
        help="Keep each training in --out every N epochs: a killed run goes on there.",
    ),
)


def backend_params(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return their values by the parameters of `fairvision.compare`."""
    return {
        "n_jobs": options["jobs"],
        "n_threads": options["threads"],
        "backend": options["backend"],
        "address": options["address"],
        "checkpoint_every": options["checkpoint_every"],
    }
