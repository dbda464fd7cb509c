"""An estimator as one ONNX file: its module, its threshold and its labels."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fairvision.exceptions import InputError
from fairvision.nn import as_module, input_shape_of
from fairvision.saving._file import write

__all__ = ["export_onnx"]


def export_onnx(
    estimator: Any,
    path: str | PathLike[str],
    *,
    input_shape: Sequence[int] | None = None,
    overwrite: bool = False,
) -> Path:
    r"""Export a fitted estimator to one ONNX file.

    It needs ``pip install 'fairvision[onnx]'``.

    Parameters
    ----------
    estimator : estimator
        Anything that `fairvision.nn.as_module` takes.
    path : path-like
    input_shape : (n_channels, height, width), default=None
        Needed for a model by `from_module` without one.
    overwrite : bool, default=False

    Returns
    -------
    path : Path
        Of a model with the input ``images``, floating in 0..1 of shape (n,
        \*input_shape) for any n, and the outputs ``probabilities``, float64 of shape
        (n, n_classes), and ``labels`` of shape (n,), at the estimator's threshold.

    Raises
    ------
    InputError
        If the estimator is not a single module, its labels have no ONNX type, the
        shape of its input is unknown, or its module works for one batch size only.
    SavingError
        If the file exists or cannot be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise InputError(f"{error}. Run: pip install 'fairvision[onnx]'") from error
    module = copy.deepcopy(as_module(estimator)).cpu()  # whatever it was trained on
    labels = _labels(np.asarray(estimator.classes_))
    weight = next(module.parameters())
    # Two images: torch takes a dimension of one for a constant.
    images = torch.zeros(2, *_shape(estimator, input_shape), dtype=weight.dtype)
    with warnings.catch_warnings():
        # torch's exporter uses deprecated parts of torch and Python.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (images,),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise InputError(
            "The module treats its batch size as a constant, so the exported model would take two "
            "images at a time. Write x.shape[0] for len(x), or -1 in a reshape."
        )
    _add_labels(onnx, model, labels)
    onnx.checker.check_model(model)
    path = Path(path)
    write(model.SerializeToString(), path, overwrite=overwrite)
    return path


def _shape(estimator: Any, given: Sequence[int] | None) -> tuple[int, ...]:
    shape = input_shape_of(estimator) if given is None else given
    if shape is None:
        raise InputError(
            "The estimator does not know the shape of its images. Pass "
            "input_shape=(n_channels, height, width)."
        )
    return tuple(shape)


def _labels(classes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Class labels in a type that ONNX has."""
    if classes.dtype.kind in "biuf":
        return classes
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    raise InputError(f"classes_ is {classes.tolist()}; ONNX knows numbers, truth values and text.")


def _add_labels(onnx: Any, model: Any, labels: np.ndarray[Any, Any]) -> None:
    """Add the label of the most probable class as an output."""
    graph, make = model.graph, onnx.helper
    graph.initializer.append(onnx.numpy_helper.from_array(labels, "classes"))
    graph.node.append(
        make.make_node("ArgMax", ["probabilities"], ["likeliest"], axis=1, keepdims=0)
    )
    graph.node.append(make.make_node("Gather", ["classes", "likeliest"], ["labels"]))
    kind = graph.initializer[-1].data_type
    graph.output.append(make.make_tensor_value_info("labels", kind, ["n"]))
