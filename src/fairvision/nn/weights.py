"""Weights of a pretrained net from a file or a package: read safely, loaded strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from fairvision.exceptions import InputError

__all__ = ["load_trunk", "read_state", "weights_file"]

_PACKAGE = "package:"
_ADVICE = (
    "Pass a state dict of exactly this model, as torch.save(model.state_dict(), path) writes it."
)
_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
#: Where training scripts put the state dict, and what wrappers put before each name.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.")
#: Names in torchvision's oldest files of DenseNet.
_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")


def weights_file(weights: str | PathLike[str]) -> Path | None:
    """The file that `weights` names, by its path or by the package that holds it.

    Parameters
    ----------
    weights : str or path-like
        A path, ``"package:NAME"`` or ``"package:NAME/FILE"``.

    Returns
    -------
    Path or None
        None if it names no file that exists.

    Raises
    ------
    InputError
        If the package is not installed, or holds no such file, or several.
    """
    if not isinstance(weights, (str, PathLike)):
        raise InputError(
            f"weights is a {type(weights).__name__}; pass the path of a state dict, "
            "'package:NAME', or the name of published weights, such as 'DEFAULT'."
        )
    name = str(weights)
    if not name.startswith(_PACKAGE):
        return Path(name) if Path(name).is_file() else None
    package, _, file = name.removeprefix(_PACKAGE).partition("/")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        spec = None
    folders = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    if not folders:
        raise InputError(
            f"weights is {name!r}, but no package {package!r} is installed. Run: pip install "
            f"{package}; or pass the path of a state dict."
        )
    files = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in _SUFFIXES)
    chosen = [p for p in files if not file or p.as_posix().endswith(f"/{file}")]
    if len(chosen) != 1:
        names = [p.name for p in files]
        raise InputError(
            f"weights is {name!r}; the package holds {names or 'no file of weights'}. "
            f"Pass one of them: 'package:{package}/FILE'."
        )
    return chosen[0]


def read_state(path: str | PathLike[str]) -> dict[str, Tensor]:
    """The state dict in a file; nothing in the file is run.

    A wrapping ``"state_dict"`` or ``"model"`` and the prefixes of `torch.compile`,
    `DataParallel` and Lightning are removed.

    Raises
    ------
    InputError
        If the file is damaged, or holds no state dict.
    """
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, weights_only=True, map_location="cpu")
    except UnpicklingError as error:  # torch's own words are a page, and advise to run the file
        raise InputError(
            f"{path} cannot be loaded: it holds more than tensors, or is damaged. {_ADVICE}"
        ) from error
    except Exception as error:  # a damaged file raises anything
        raise InputError(f"{path} cannot be loaded: {error} {_ADVICE}") from error
    for name in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path} cannot be loaded: it holds no state dict. {_ADVICE}")
    while prefix := next((p for p in _PREFIXES if _all_begin(state, p)), None):
        consume_prefix_in_state_dict_if_present(state, prefix)
    return state


def _all_begin(state: Mapping[str, Tensor], prefix: str) -> bool:
    return bool(state) and all(str(name).startswith(prefix) for name in state)


def load_trunk(
    trunk: nn.Module, state: dict[str, Tensor], heads: Sequence[str], source: Any, name: str
) -> None:
    """Load a state dict into a net without its head. All names must agree but the head's.

    Parameters
    ----------
    trunk : nn.Module
    state : dict of str to Tensor
    heads : sequence of str
        Names of the removed heads in the net.
    source : path or str
        What the state dict was read from, for errors.
    name : str
        Of the net, for errors.

    Raises
    ------
    InputError
        If the weights are of another net, naming the first that does not fit.
    """
    for key in [key for key in state if _DENSENET.match(key)]:
        state[_DENSENET.sub(r"\1\2", key)] = state.pop(key)
    try:
        result = trunk.load_state_dict(state, strict=False)
    except Exception as error:  # other shapes, or names that are no text
        raise InputError(
            f"{source} cannot be loaded into the backbone {name}: {error} {_ADVICE}"
        ) from error
    # A head of somebody's own may be named otherwise, but stands in the same place.
    places = tuple(f"{head.partition('.')[0]}." for head in heads)
    surplus = [key for key in result.unexpected_keys if not key.startswith(places)]
    for keys, problem in (
        (result.missing_keys, f"lacks {{n}} of the backbone's weights, {{first!r}} first: {name}"),
        (surplus, f"holds {{n}} weights too many, {{first!r}} first: {name}"),
    ):
        if keys:
            text = problem.format(n=len(keys), first=keys[0])
            raise InputError(f"{source} {text} has other layers. {_ADVICE}")
