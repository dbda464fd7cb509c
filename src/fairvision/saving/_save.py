"""`save`: a fitted estimator to one file."""

from __future__ import annotations

from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fairvision
from fairvision.exceptions import SavingError
from fairvision.plugins import describe
from fairvision.saving._decode import Decoder
from fairvision.saving._encode import Encoder
from fairvision.saving._file import pack, unpack, write
from fairvision.saving._trust import Trust

if TYPE_CHECKING:
    from fairvision.metrics import Evaluation

__all__ = ["packed", "save"]

_VERSIONS = ("numpy", "pandas", "scikit-learn", "skorch", "torch", "torchvision")


def save(
    estimator: Any,
    path: str | PathLike[str],
    *,
    evaluation: Evaluation | None = None,
    overwrite: bool = False,
) -> Path:
    """Save a fitted estimator to one file for `load`.

    The file is in the safetensors format: weights and arrays by name
    (``module_.head.weight``), which any safetensors reader can read, and a JSON
    manifest with everything else, without pickle. The loaded estimator predicts the
    same, bit for bit on the same machine and versions.

    The file holds the parameters and the fitted state, but not the skorch net
    ``net_`` (predict, predict_proba, transform and evaluation do not need it), the
    fitted ``sampler_`` of a `Resampled`, an `accelerator`, or requests made with
    ``set_fit_request``.
    Parameters that no file can hold (a module as backbone, a function of your own,
    callbacks) are listed in the file; pass them to `load`.

    A class of your own can define two methods: ``__fairvision_getstate__(self)``
    returns the fitted state to store as a dict (by default
    :func:`fairvision.base.fitted_attributes`), ``__fairvision_setstate__(self, state)``
    restores it. Values may be None, bool, int, float, str, lists, tuples, sets and
    dicts of such, numpy arrays, tensors, pandas tables, `Groups`, estimators, and
    dataclasses that your plugin's package lists in ``__all__``. Do not trust a file:
    ``__fairvision_setstate__`` must not import, open or run anything that `state` names.

    Parameters
    ----------
    estimator : estimator
        A method of `fairvision.methods`, or several nested, also in a `Pipeline` or
        a `FrozenEstimator`.
    path : path-like
        Any name; the usual ending is ``.safetensors``.
    evaluation : Evaluation, default=None
        Its numbers go into the manifest, with their intervals.
    overwrite : bool, default=False
        Whether to replace an existing file. A file is written whole or not at all.

    Returns
    -------
    path : Path

    Raises
    ------
    SavingError
        If `load` would refuse the class, if the fitted state cannot be stored or read
        again, or if the file exists or cannot be written.

    Examples
    --------
    >>> import fairvision as fv
    >>> model = fv.make("erm", max_epochs=1)  # doctest: +SKIP
    >>> fv.save(model.fit(X, y), "model.safetensors")  # doctest: +SKIP
    >>> fv.load("model.safetensors").predict(X)  # doctest: +SKIP
    """
    data, _ = packed(estimator, evaluation)
    write(data, Path(path), overwrite=overwrite)
    return Path(path)


def packed(estimator: Any, evaluation: Evaluation | None = None) -> tuple[bytes, dict[str, Any]]:
    """What `save` writes, as bytes, for a store of your own.

    Parameters
    ----------
    estimator, evaluation
        As in `save`.

    Returns
    -------
    content : bytes
    manifest : dict
        As `read_manifest` gives it.

    Raises
    ------
    SavingError
        As `save`, but for the file.
    """
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise SavingError(f"estimator is {estimator!r}; pass a fitted estimator.")
    trust = Trust()
    encoder = Encoder(trust)
    root = encoder.estimator(estimator)
    manifest = {
        "fairvision": fairvision.__version__,
        "versions": {name: version(name) for name in _VERSIONS},
        **{key: root.get(key) for key in ("class", "method", "distribution", "version")},
        "evaluation": None if evaluation is None else evaluation.to_dict(),
        "objects": encoder.objects,
        "estimator": root,
    }
    data = pack(manifest, encoder.tensors)
    _check_readable(data, trust, encoder.given, type(estimator).__name__)
    return data, manifest


def _check_readable(data: bytes, trust: Trust, given: dict[str, Any], name: str) -> None:
    """Read the bytes as `load` does, to refuse a file that cannot be loaded."""
    try:
        manifest, tensors = unpack(data)
        Decoder(trust, tensors, given).estimator(manifest["estimator"])
    except Exception as error:  # `__fairvision_setstate__` of anybody's class may raise anything
        raise SavingError(
            f"{name} cannot be saved: the saved bytes could not be loaded again "
            f"({describe(error)}). Nothing was written to disk. If the class is yours, its "
            "__fairvision_setstate__ must accept the state that its __fairvision_getstate__ "
            "returns."
        ) from error
