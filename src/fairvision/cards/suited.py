"""Which of the installed methods can be trained on given cells."""

from __future__ import annotations

import pandas as pd

from fairvision.plugins import RegisteredMethod, default_registry

__all__ = ["FEW", "cell_name", "suited_methods"]

#: Fewest training rows of a cell from which a method that reads groups can learn.
FEW = 20


#: A group that covers more than this share of the target's image region cannot be hidden without
#: hiding the target.
COVERED = 0.5


def suited_methods(
    training: pd.Series, n_groups: int, *, has_pixels: bool, covered: float = 0.0
) -> pd.DataFrame:
    """Say of every installed method whether it can be trained.

    Parameters
    ----------
    training : Series of int
        Training rows by cell; the first level of the index is the class.
    n_groups : int
        Most groups in a sensitive column.
    has_pixels : bool
        Whether X holds images.
    covered : float, default=0.0
        The share of the target's place in the image that the group's place covers, if known.

    Returns
    -------
    DataFrame
        `method`, `stage`, `runs` ("yes", "no", "at risk"), `reason`, and `no_gain_reason`: why
        the method promises no better worst cell; empty where it promises one.
    """
    n_classes = training.index.get_level_values(0).nunique()
    rows = [
        (
            m.name,
            m.stage,
            *_verdict(m, training, n_classes, n_groups, has_pixels, covered),
            m.descriptor.claims.no_gain_reason,
        )
        for m in default_registry().methods()
    ]
    names = ["method", "stage", "runs", "reason", "no_gain_reason"]
    table = pd.DataFrame(rows, columns=names)
    return table.sort_values(["stage", "method"], ignore_index=True)


def _verdict(
    method: RegisteredMethod,
    training: pd.Series,
    n_classes: int,
    n_groups: int,
    has_pixels: bool,
    covered: float,
) -> tuple[str, str]:
    if refusal := method.refusal(n_classes, n_groups):
        return "no", refusal
    needs = method.needs
    if needs.pixels and not has_pixels:
        return "no", "needs images, and X holds features"
    if needs.place and covered > COVERED:
        return "no", "hides where the group shows, and there the target shows, too"
    reasons = ["needs the group of each row that it predicts"] if needs.predict else []
    smallest = int(training.min())
    if (needs.fit or needs.validation) and smallest < FEW:
        reasons.append(
            f"reads groups in training, where a cell has {smallest} row{'s' * (smallest != 1)}"
        )
        return "at risk", "; ".join(reasons)
    return "yes", "; ".join(reasons)


def cell_name(cells: pd.Index, place: int) -> str:
    """``Blond_Hair = 1, Male = 0``."""
    return ", ".join(
        f"{name} = {label}" for name, label in zip(cells.names, cells[place], strict=True)
    )
