"""The columns of a table of predictions: what `fairvision predict` writes and `audit` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fairvision.exceptions import InputError

__all__ = ["PredictionColumns"]

PATH, CLASS, TRUE_CLASS, MODEL, PROBABILITY = "path", "class", "true_class", "model", "probability_"


@dataclass(frozen=True)
class PredictionColumns:
    """The columns of a table of predictions.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes that have a probability, ``probability_NAME``; none if there are no
        probabilities.
    sensitive : sequence of str
        Columns of groups.
    has_true_class : bool
        Whether there is a column ``true_class``.

    Raises
    ------
    InputError
        If two columns have one name.
    """

    classes: Sequence[str] = ()
    sensitive: Sequence[str] = ()
    has_true_class: bool = False

    def __post_init__(self) -> None:
        names = self.names()
        if twice := [name for name in self.sensitive if names.count(name) > 1]:
            raise InputError(
                f"the column of groups {twice[0]!r} has the name of another column of predictions. "
                "Rename it in the table."
            )

    def names(self) -> list[str]:
        """All of them, in order."""
        true = [TRUE_CLASS] if self.has_true_class else []
        scores = [PROBABILITY + name for name in self.classes]
        return [PATH, CLASS, *scores, *true, *self.sensitive, MODEL]

    def rows(
        self, pictures: Sequence[Any], classes: Sequence[str], scores: Any
    ) -> Iterator[list[Any]]:
        """A row for each picture, without the model; what is missing is None.

        Parameters
        ----------
        pictures : sequence of Picture
        classes : sequence of str
            As predicted.
        scores : ndarray of shape (n, n_classes), or None
        """
        for i, (picture, name) in enumerate(zip(pictures, classes, strict=True)):
            numbers = [] if scores is None else scores[i].tolist()
            true = [picture.true_class or None] if self.has_true_class else []
            groups = [None if group != group else group for group in picture.groups]
            yield [picture.name, name, *numbers, *true, *groups]

    @classmethod
    def of(cls, names: Iterable[str]) -> PredictionColumns | None:
        """Recognise the columns of a table; None if `fairvision predict` did not write it."""
        names = list(names)
        if names[:2] != [PATH, CLASS] or names[-1:] != [MODEL]:
            return None
        scores = [name.removeprefix(PROBABILITY) for name in names if name.startswith(PROBABILITY)]
        rest = names[2 + len(scores) : -1]
        has_true = rest[:1] == [TRUE_CLASS]
        return cls(scores, rest[1:] if has_true else rest, has_true)
