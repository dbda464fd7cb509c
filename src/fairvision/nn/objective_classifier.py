"""`ObjectiveClassifier`: a method's parameters and those of training side by side."""

from __future__ import annotations

import functools
import inspect
from typing import Any, ClassVar

from fairvision.nn.backbones import Backbone
from fairvision.nn.classifier import TorchClassifier
from fairvision.nn.objective import Objective

__all__ = ["ObjectiveClassifier"]


class ObjectiveClassifier(TorchClassifier):
    """A `TorchClassifier` of one objective, whose parameters are its own.

    Subclass it, and say which `Objective` it trains with. The constructor takes the
    parameters of the objective and, except ``objective`` itself, all those of
    `TorchClassifier`, today's and later ones. A subclass may add parameters, or change
    defaults, in an ``__init__(self, ..., **params)`` that passes `params` on; the
    signature shows all of them.

    Parameters
    ----------
    backbone : str, nn.Module or callable, default="small-cnn"
        As in `TorchClassifier`.
    **params
        Parameters of the objective and of `TorchClassifier`.

    Examples
    --------
    >>> from fairvision.nn import Objective, ObjectiveClassifier, Step, cross_entropy
    >>> class Smoothing(Objective):
    ...     def __init__(self, amount=0.1):
    ...         self.amount = amount
    ...
    ...     def step(self, module, batch):
    ...         logits = module(batch.images)
    ...         uniform = -logits.log_softmax(1).mean()
    ...         loss = cross_entropy(logits, batch.targets, batch.weights)
    ...         return Step((1 - self.amount) * loss + self.amount * uniform, logits)
    >>> class SmoothingClassifier(ObjectiveClassifier):
    ...     objective_class = Smoothing
    >>> SmoothingClassifier(amount=0.2, lr=0.01).get_params()["amount"]
    0.2
    """

    objective_class: ClassVar[type[Objective]] = Objective

    def __init__(self, backbone: Backbone = "small-cnn", **params: Any) -> None:
        objective_params = {
            name: params.pop(name, p.default) for name, p in self._objective_params().items()
        }
        super().__init__(backbone, **params)
        for name, value in objective_params.items():
            setattr(self, name, value)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the class a constructor whose signature names every parameter."""
        super().__init_subclass__(**kwargs)
        init = cls.__init__

        @functools.wraps(init)
        def __init__(self: Any, *args: Any, **params: Any) -> None:
            init(self, *args, **params)

        __init__.__signature__ = _full_signature(cls, init)  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]

    @classmethod
    def _objective_params(cls) -> dict[str, inspect.Parameter]:
        return _parameters(cls.objective_class.__init__)

    def make_objective(self) -> Objective:
        """A new objective with the estimator's parameters."""
        return self.objective_class(**{n: getattr(self, n) for n in self._objective_params()})


def _parameters(init: Any) -> dict[str, inspect.Parameter]:
    """The named parameters of a constructor."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = list(inspect.signature(init).parameters.values())[1:]
    return {p.name: p for p in parameters if p.kind not in variadic}


def _full_signature(cls: type[ObjectiveClassifier], init: Any) -> inspect.Signature:
    """The parameters of a class's own constructor, of its objective, and of training."""
    training = _parameters(TorchClassifier.__init__)
    training.pop("objective")
    objective = cls._objective_params()
    if shared := sorted(training.keys() & objective.keys()):
        raise TypeError(
            f"{cls.objective_class.__name__} and TorchClassifier both have the parameter(s) "
            f"{', '.join(shared)}. Rename those of {cls.objective_class.__name__}."
        )
    class_parameters = _parameters(init)
    merged = {**class_parameters, **objective, **training, **class_parameters}
    backbone = merged.pop("backbone")
    rest = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in merged.values()]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([first, backbone, *rest])
