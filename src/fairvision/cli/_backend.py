"""The options that say where runs are executed, and how often checkpoints are written."""

from __future__ import annotations

import click

from fairvision.cli._method import all_of

backend_options = all_of(
    click.option(
        "--jobs",
        "n_jobs",
        type=int,
        default=1,
        help="Number of runs at a time; -1 means one per core.",
    ),
    click.option(
        "--threads", "n_threads", type=click.IntRange(1), default=1, help="CPU threads of a run."
    ),
    click.option(
        "--backend",
        type=click.Choice(["loky", "dask", "ray"]),
        default="loky",
        help="Where runs are executed: in processes on this machine, or on workers of Dask or "
        "Ray. The results are the same.",
    ),
    click.option(
        "--address",
        help="Address of a running Dask scheduler or Ray cluster, such as tcp://HOST:8786; "
        "without it, --backend starts --jobs workers on this machine.",
    ),
    click.option(
        "--checkpoint-every",
        type=click.IntRange(1),
        metavar="N",
        help="Write a checkpoint to --out every N epochs; a killed run resumes from it.",
    ),
)

#: The parameters of `fairvision.compare` that they stand for.
BACKEND_PARAMS = ("n_jobs", "n_threads", "backend", "address", "checkpoint_every")
