"""UTKFace: photographs whose file names say age, perceived gender and perceived race."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets._listing import Listing
from fairvision.datasets._lists import scan
from fairvision.datasets._paths import check_root
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
Left out: {left_out}.
"""


def _parse(names: Sequence[str]) -> pd.DataFrame:
    """What the names say: age, gender and race, missing where a name is not complete."""
    rows: list[tuple[Any, ...]] = []
    for name in names:
        if match := _COMPLETE.fullmatch(os.path.basename(name)):
            age, gender, race, _ = match.groups()
            rows.append((int(age), GENDERS[int(gender)], RACES[int(race)], True))
        else:
            rows.append((-1, None, None, False))
    return pd.DataFrame(rows, columns=["age", "gender", "race", "complete"])


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
    mode: Literal["RGB", "L"] = "RGB",
    resize: Literal["crop", "squash"] = "crop",
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
    mode : {"RGB", "L"}, default="RGB"
    resize : {"crop", "squash"}, default="crop"
        As in :class:`ImageFiles`.
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
        age_bin, path), ``DESCR``. Left out and counted, with the names:
        ``n_missing_race`` (names of three fields, a known defect of the set),
        ``n_unreadable`` (other names), ``n_outside`` (no age bin, if `target` or
        `sensitive` is ``"age_bin"``), ``n_skipped`` (images that cannot be read).

    Raises
    ------
    DatasetError
        If the folder holds no image, or none with such a name; if an attribute is
        unknown, or has one value only.
    BadImageError
        Naming a file that cannot be read, when it is decoded.

    References
    ----------
    Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial
    Autoencoder", CVPR 2017.
    """
    folder = check_root(root)
    files = scan(folder, folder, deep=True)
    names = sorted(files)
    if not names:
        raise DatasetError(f"root {folder!r} holds no images. Pass the folder of the photographs.")
    table = _parse(names)
    complete = table.pop("complete").to_numpy()
    if not complete.any():
        raise DatasetError(
            f"none of the {len(names)} images in {folder!r} is named age_gender_race_date, as in "
            f"'25_1_2_20170116174525125.jpg'; the first is {names[0]!r}. For other images use "
            "load_folder with a CSV."
        )
    table["old"] = table["age"] >= old_from
    table["age_bin"] = _age_bins(table["age"])
    # As objects: pandas' strings cannot hold a name that is not valid UTF-8.
    table["path"] = pd.Series(names, dtype=object)
    no_race = [bool(_NO_RACE.fullmatch(os.path.basename(name))) for name in names]
    used = [target, sensitive] if isinstance(sensitive, str) else [target, *sensitive]
    reasons = {
        "missing_race": ~complete & no_race,
        "unreadable": ~complete,
        "outside": table["age_bin"].isna().to_numpy() & ("age_bin" in used),
    }
    descr = _DESCR.replace("{old_from}", str(old_from))
    labels = {"old": (f"under {old_from}", f"{old_from} or older")}
    listing = Listing(folder, files, table, folder, reasons, descr, labels)
    read = {"image_size": image_size, "mode": mode, "resize": resize, "cache": cache}
    return listing.bunch(target, sensitive, skip_bad=skip_bad, **read)
