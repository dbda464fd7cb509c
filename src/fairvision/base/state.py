"""What an estimator learned, apart from its parameters."""

from __future__ import annotations

from typing import Any

__all__ = ["fitted_attributes"]


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """Everything that an estimator holds and that is no parameter of its constructor.

    This is what `fairvision.save` stores unless the estimator has a method
    ``__fairvision_getstate__`` that says otherwise.
    """
    parameters = estimator.get_params(deep=False)
    # Requests of metadata routing matter to a later fit only, and are scikit-learn's own object.
    left_out = {*parameters, "_metadata_request"}
    return {name: value for name, value in vars(estimator).items() if name not in left_out}
