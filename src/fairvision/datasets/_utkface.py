"""UTKFace: photographs whose file names say age, perceived gender and perceived race."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._bunch import make_bunch
from fairvision.datasets._files import ImageFiles
from fairvision.datasets._folder import keep_readable
from fairvision.datasets._paths import IMAGE_ENDINGS, check_root, inside
from fairvision.exceptions import DatasetError

__all__ = ["load_utkface"]

GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "other")
_COMPLETE = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d{6,})\D.*", re.DOTALL)
_NO_RACE = re.compile(r"\d{1,3}_[01]_{1,2}\d{6,}\D.*", re.DOTALL)
_FIRST, _LAST, _WIDTH = 16, 72, 4  # age bins of the JLU report: 14 of 4 years

_DESCR = """UTKFace (Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial
Autoencoder", CVPR 2017), read from {root}

{n} photographs, for research use only. Gender and race are what annotators and models
perceived, not what people said of themselves; age is an estimate.
old: age >= {old_from}. age_bin: bins of 4 years in 16..72.
Left out: {n_missing_race} without a race in the file name, {n_unreadable} with another name,
{n_skipped} unreadable images, {n_outside} outside the age bins.
"""


def _names(root: str) -> list[str]:
    """Images below the root, relative to it, sorted."""
    found = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        here = os.path.relpath(folder, root)
        found += [
            os.path.normpath(os.path.join(here, name))
            for name in files
            if name.lower().endswith(IMAGE_ENDINGS)
        ]
    return sorted(found)


def _parse(names: Sequence[str]) -> tuple[list[str], pd.DataFrame, list[str], list[str]]:
    """Complete names and what they say, names without a race, and other names."""
    complete: list[str] = []
    no_race: list[str] = []
    other: list[str] = []
    rows = []
    for name in names:
        base = os.path.basename(name)
        if match := _COMPLETE.fullmatch(base):
            age, gender, race, _ = match.groups()
            complete.append(name)
            rows.append((int(age), GENDERS[int(gender)], RACES[int(race)]))
        else:
            (no_race if _NO_RACE.fullmatch(base) else other).append(name)
    return complete, pd.DataFrame(rows, columns=["age", "gender", "race"]), no_race, other


def _age_bins(age: pd.Series) -> pd.Series:
    """``"16-19"`` to ``"68-71"``; missing outside."""
    low = _FIRST + (age - _FIRST) // _WIDTH * _WIDTH
    text = low.astype(str) + "-" + (low + _WIDTH - 1).astype(str)
    return text.astype(object).where((age >= _FIRST) & (age < _LAST))


def load_utkface(
    root: str | os.PathLike[str],
    *,
    target: str = "old",
    sensitive: str | Sequence[str] = "gender",
    image_size: int | tuple[int, int] = 64,
    old_from: int = 40,
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Read a local copy of UTKFace, lazily.

    Parameters
    ----------
    root : path
        Folder of files named ``age_gender_race_date...jpg``, sub-folders included.
    target : str, default="old"
        ``"old"``, ``"age_bin"`` (14 bins of 4 years in 16..72; photographs of
        people outside are left out and counted), ``"age"``, ``"gender"``,
        ``"race"``, or ``"race=Asian"`` for one value.
    sensitive : str or list of str, default="gender"
        The same names.
    image_size : int or (height, width), default=64
    old_from : int, default=40
        Age in years from which ``old`` is true.
    skip_bad : bool, default=False
        Whether to leave out images that cannot be read, and count them.
    cache : path or None, default=None
        Folder for decoded images, as in :class:`ImageFiles`.

    Returns
    -------
    Bunch
        ``images`` (:class:`ImageFiles`), ``target``, ``target_names``,
        ``sensitive_features``, ``attributes`` (age, gender and race as perceived, old,
        age_bin, path), ``DESCR``; ``n_missing_race`` and ``missing_race``
        (three-field names, a known defect of the set: left out), ``n_unreadable``
        and ``unreadable`` (other names), ``n_skipped`` and ``skipped`` (bad
        images), ``n_outside`` (no age bin, where that was asked for).

    Raises
    ------
    DatasetError
        If the folder holds no image, or none with such a name.
    BadImageError
        Naming a file that cannot be read, when it is decoded.

    References
    ----------
    Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial
    Autoencoder", CVPR 2017.
    """
    folder = check_root(root)
    names = _names(folder)
    if not names:
        raise DatasetError(f"root {folder!r} holds no images. Pass the folder of the photographs.")
    complete, attributes, no_race, other = _parse(names)
    if not complete:
        raise DatasetError(
            f"none of the {len(names)} images in {folder!r} is named age_gender_race_date, as in "
            f"'25_1_2_20170116174525125.jpg'; the first is {names[0]!r}. For other images use "
            "load_folder with a CSV."
        )
    attributes["old"] = attributes["age"] >= old_from
    attributes["age_bin"] = _age_bins(attributes["age"])
    # As objects: a name that is no valid UTF-8 has half characters, which pandas' text refuses.
    attributes["path"] = pd.Series(complete, dtype=object)
    paths = inside(folder, complete)
    images, rows, skipped = keep_readable(
        ImageFiles(paths, image_size=image_size, cache=cache), complete, skip_bad
    )
    attributes = attributes.iloc[rows].reset_index(drop=True)
    wanted = {target, sensitive} if isinstance(sensitive, str) else {target, *sensitive}
    inner = attributes["age_bin"].notna().to_numpy() | ("age_bin" not in wanted)
    counts = {
        "n_missing_race": len(no_race),
        "n_unreadable": len(other),
        "n_skipped": len(skipped),
        "n_outside": int((~inner).sum()),
    }
    return make_bunch(
        images[inner],
        attributes[inner],
        target=target,
        sensitive=sensitive,
        labels={"old": (f"under {old_from}", f"{old_from} or older")},
        descr=_DESCR.format(root=folder, n=int(inner.sum()), old_from=old_from, **counts),
        missing_race=no_race,
        unreadable=other,
        skipped=skipped,
        **counts,
    )
