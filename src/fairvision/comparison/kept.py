"""The fitted model of a run as a file, which the run keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from fairvision.base import are_maps, is_images
from fairvision.exceptions import InputError, SavingError
from fairvision.models import ImageModel
from fairvision.saving import load, packed, read_manifest

__all__ = ["kept_model", "load_model", "model_of"]


def model_of(estimator: Any, data: Bunch) -> Any:
    """The fitted estimator with how pictures are read for it, where the data are pictures.

    An extractor, which all runs share, is not in it.
    """
    pictures = data.get("pictures", data.images)
    if not (is_images(pictures) and hasattr(estimator, "classes_")) or are_maps(pictures):
        return estimator
    return ImageModel.from_dataset(estimator, Bunch(**{**data, "images": pictures}))


def kept_model(estimator: Any, data: Bunch) -> dict[str, Any]:
    """The file of the fitted model, or why there is none, as fields of `Run`."""
    try:
        content, manifest = packed(model_of(estimator, data))
    except (SavingError, InputError) as error:
        return {"model_note": str(error)}
    only_train = ("callbacks", "train_transform")
    lacking = [n for n in manifest["objects"] if n.rpartition("__")[2] not in only_train]
    if lacking:
        return {"model_note": f"no file can hold its {', '.join(lacking)}."}
    return {"model": content}


def load_model(path: Path) -> Any:
    """The model of such a file; the callbacks that showed its progress stay behind."""
    return load(path, objects=dict.fromkeys(read_manifest(path)["objects"]))
