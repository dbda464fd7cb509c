"""Faces of one set to train on, whole pictures of another to test on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from fairvision.datasets import load_celeba, load_folder, load_ppb
from fairvision.exceptions import DatasetError

__all__ = ["load_face_or_not"]

_PARTS = ("celeba", "nonfaces", "ppb")
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_WHERE = (
    "Put three folders into the root: celeba/ (img_align_celeba/, list_attr_celeba.txt and "
    "list_eval_partition.txt), nonfaces/ (any pictures without a face, in any sub-folders, such "
    "as some classes of ImageNet) and ppb/ (imgs/ and a table of file name, gender and Fitzpatrick "
    "type; photographs of your own will do)."
)
_TEST = 0.2


def load_face_or_not(
    root: str | os.PathLike[str],
    *,
    target: str = "face",
    sensitive: str | Sequence[str] = ("gender", "skin_group"),
    image_size: int | tuple[int, int] = 64,
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Read CelebA's faces and pictures without faces to train on, and PPB to test on, lazily.

    Parameters
    ----------
    root : path
        Folder that holds ``celeba/``, ``nonfaces/`` (any pictures) and ``ppb/`` (or photographs
        in its form: `fairvision.datasets.load_ppb`).
    target : str, default="face"
    sensitive : str or list of str, default=("gender", "skin_group")
        Of ``gender`` (perceived), ``skin_group`` and ``skin_tone``. The skin of the people in
        CelebA is ``"unknown"``: groups are for testing.
    image_size : int or (height, width), default=64
        Of all pictures, crops of faces and whole photographs alike.
    skip_bad : bool, default=False
        Whether to leave out images that cannot be read, and count them.
    cache : path or None, default=None
        Folder for decoded images.

    Returns
    -------
    Bunch
        As of `fairvision.datasets.load_folder`. ``split`` is ``train`` for CelebA's own
        training part and four fifths of the pictures without a face, ``test`` for the
        others and PPB. Pictures without a face belong to no group; those of the test part
        are dealt out over PPB's genders and skin types, so that each has as many.
        ``remarks`` says what was left out.

    Raises
    ------
    DatasetError
        If a folder is not there (saying what belongs where), or as the readers of the
        sets raise it.
    """
    for split in _PARTS:
        if not os.path.isdir(os.path.join(root, split)):
            raise DatasetError(f"root {os.fspath(root)!r} holds no folder {split!r}. {_WHERE}")
    home = Path(os.path.realpath(root))
    celeba, ppb = load_celeba(home / "celeba"), load_ppb(home / "ppb")
    people = _rows(home, celeba, "train").assign(
        gender=np.where(celeba.attributes["Male"], "male", "female")
    )
    faces = [people[celeba.split == "train"], _rows(home, ppb, "test")]
    remarks = [
        f"{name}: {count} left out ({reason.removeprefix('n_')})."
        for name, data in (("celeba", celeba), ("ppb", ppb))
        for reason, count in data.items()
        if reason.startswith("n_") and count
    ]
    data = load_folder(
        home,
        pd.concat([*faces, _without_faces(home, faces[1])], ignore_index=True),
        target=target,
        sensitive=sensitive if isinstance(sensitive, str) else list(sensitive),
        split_column="split",
        image_size=image_size,
        skip_bad=skip_bad,
        cache=cache,
    )
    return Bunch(**data, remarks=remarks)


def _rows(home: Path, data: Bunch, split: str) -> pd.DataFrame:
    """The photographs of a set as rows of faces, relative to the root."""
    known = data.attributes
    unknown = pd.Series("unknown", index=known.index)
    return pd.DataFrame(
        {
            "path": [os.path.relpath(path, home) for path in data.images.paths],
            "face": True,
            "split": split,
            **{c: known.get(c, unknown) for c in ("gender", "skin_tone", "skin_group")},
        }
    )


def _without_faces(home: Path, tested: pd.DataFrame) -> pd.DataFrame:
    """Pictures without a face: a fifth to test on, as many in each group of the faces tested on."""
    names = sorted(
        os.path.join(folder, name)
        for folder, _, files in os.walk(home / "nonfaces")
        for name in files
        if name.lower().endswith(_ENDINGS)
    )
    if len(names) < 2:
        raise DatasetError(f"{str(home / 'nonfaces')!r} holds {len(names)} pictures. {_WHERE}")
    order = np.random.default_rng(0).permutation(len(names))
    is_test = order < max(1, round(_TEST * len(names)))
    groups = tested[["gender", "skin_tone", "skin_group"]].drop_duplicates()
    rows = groups.iloc[order % len(groups)].reset_index(drop=True)
    rows.loc[~is_test, groups.columns] = "unknown"
    return rows.assign(
        path=[os.path.relpath(name, home) for name in names],
        face=False,
        split=np.where(is_test, "test", "train"),
    )
