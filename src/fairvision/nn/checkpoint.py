"""A long training that goes on where it was stopped, to the same end bit for bit."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from skorch.callbacks import Callback

from fairvision.base import atomic_write
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision.nn.identity import fingerprint, random_states
from fairvision.nn.objective import Objective
from fairvision.nn.process_group import ProcessGroup
from fairvision.nn.rows import Rows
from fairvision.nn.training_state import capture, check_callback, restore

__all__ = ["CheckpointFile", "TrainingCheckpoint"]

_DIGEST = sha256().digest_size
# Parameters that say nothing about the weights, or what the random states and rows say better.
_ASIDE = ("callbacks", "device", "random_state", "validation_data", "verbose", "warm_start")


@dataclass(eq=False, repr=False)
class TrainingCheckpoint(Callback):
    """Write down a training every few epochs, and go on from there after a crash.

    Put it among the ``callbacks`` of a `TorchClassifier` or of a method that is one. The
    same ``fit`` after an interrupt, a crash or a kill trains the remaining epochs
    only, and ends with the weights, the history and the optimiser of an undisturbed
    training, bit for bit on the same machine with as many threads.

    Parameters
    ----------
    folder : str or Path
        Made if absent. Each training has a file of its own there, named by a hash of all
        that decides its end: initial weights, random states, parameters, data
        (of images that are read on access their paths, and 64), version of torch.
        So several may share it, and a file of another training is never read.
    every : int, default=5
        Epochs between two checkpoints.
    keep : bool, default=False
        Keep the file of a training that ended; the same `fit` again then trains no epoch.
        Otherwise it is removed.
    strict : bool, default=True
        Raise where a training cannot be kept; False warns, and trains without.
    tag : str, default=""
        A part of the hash, for what only the caller knows.

    Raises
    ------
    InputError
        At the start of the training: if `random_state` is None (its checkpoint could never
        be found again), a callback or an objective has a state that nobody can
        read, or the folder cannot be made.

    Notes
    -----
    Kept are the module, the optimiser, the objective (`Objective.state_dict`), the random
    states of torch, CUDA, numpy and Python, the history, and of each callback what
    ends in an underscore, as skorch's convention has it, learning-rate schedules and early
    stopping among them. A callback may have ``state_dict()`` and
    ``load_state_dict(state)`` instead. A `train_transform` with a state of its own
    (a generator, a counter) starts anew; torchvision's have none.

    Of several processes that train one model, only the first reads and writes: nobody else has
    to see the folder. A checkpoint belongs to their number.

    The file is read with ``weights_only=True``, which runs nothing. It is written aside and
    renamed; one that is damaged counts as none.

    Examples
    --------
    >>> from fairvision.nn import TorchClassifier, TrainingCheckpoint
    >>> model = TorchClassifier(
    ...     max_epochs=200, random_state=0, callbacks=[TrainingCheckpoint("checkpoints", every=10)]
    ... )
    """

    #: A callback that says so has no influence on the weights, and no part in the hash.
    only_watches: ClassVar[bool] = True

    folder: str | Path
    _: KW_ONLY
    every: int = 5
    keep: bool = False
    strict: bool = True
    tag: str = ""

    def open(
        self, net: Any, rows: Rows, held_out: Rows | None, params: Mapping[str, Any]
    ) -> CheckpointFile | None:
        """Where the training that is about to begin is kept; None if it cannot be."""
        try:
            if not isinstance(self.every, (int, np.integer)) or self.every < 1:
                raise InputError(f"every is {self.every!r}; pass epochs, an int of 1 or more.")
            _check_keepable(net, params)
            name = identity(net, rows, held_out, params, self.tag)
            return CheckpointFile(self, net, name, rows.process_group)
        except InputError as error:
            if self.strict:
                raise
            warnings.warn(f"No checkpoints: {error}", FairvisionWarning, stacklevel=3)
            return None


class CheckpointFile:
    """The file of one training.

    Parameters
    ----------
    checkpoint : TrainingCheckpoint
    net : ObjectiveNet
        Initialised, before its first epoch.
    name : str
        Of the training.
    process_group : ProcessGroup
        The processes that do it.

    Attributes
    ----------
    finished : bool
        Whether the training that was found on disk had ended.
    """

    def __init__(
        self,
        checkpoint: TrainingCheckpoint,
        net: Any,
        name: str,
        process_group: ProcessGroup,
    ) -> None:
        self.net, self.process_group = net, process_group
        self.name = process_group.broadcast(name)
        self.every, self.keep = checkpoint.every, checkpoint.keep
        self.path = Path(checkpoint.folder) / f"{self.name}.pt"
        self.aside = self.path.with_name(f".{self.name}.pt.partial")
        self.finished = False
        self._make_folder()
        # Save and reload once at the start, so that a state that cannot be saved fails now.
        fresh = self._decode(_packed(self._state(finished=False)))
        if (state := self._read()) is not None:
            try:
                self._restore(state)
                self.finished = state["finished"]
            except Exception:  # of another version of a method, say
                self._restore(fresh)

    def _make_folder(self) -> None:
        problem = ""
        if self.process_group.rank == 0:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                problem = error.strerror or str(error)
        if problem := self.process_group.broadcast(problem):
            raise InputError(
                f"the folder of TrainingCheckpoint, {self.path.parent}, cannot be made: "
                f"{problem}. Pass another."
            )

    def save(self, *, finished: bool = False) -> None:
        """Replace the file; a disk that is full costs the checkpoint, not the training."""
        state = self._state(finished=finished)
        if self.process_group.rank:
            return
        content = _packed(state)
        try:
            with atomic_write(self.path) as file:
                file.write(sha256(content).digest() + content)
        except OSError as error:
            warnings.warn(
                f"The checkpoint {self.path} cannot be written: {error.strerror or error}. "
                "Training goes on; if it is stopped it starts from an older one.",
                FairvisionWarning,
                stacklevel=4,
            )

    def close(self) -> None:
        """Remove the file of a training that is over."""
        if not self.keep and self.process_group.rank == 0:
            for path in (self.path, self.aside):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _state(self, *, finished: bool) -> dict[str, Any]:
        state = capture(self.net)
        # What is drawn for a share of a batch is drawn by each process for itself.
        own = _packed({"random": state.pop("random"), "stream": self.process_group.rng_states})
        each = [self._decode(content) for content in self.process_group.all_gather_object(own)]
        return {"name": self.name, "finished": finished, **state, "processes": each}

    def _restore(self, state: dict[str, Any]) -> None:
        own = state["processes"][self.process_group.rank]
        restore(self.net, {**state, "random": own["random"]})
        self.process_group.rng_states = own["stream"]

    def _decode(self, content: bytes) -> dict[str, Any]:
        try:
            return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        except Exception as error:
            name = type(self.net.objective).__name__
            raise InputError(
                f"the state of this training, or of its {name}, does not come back from "
                f"a file without pickle: {error} Give state_dict plain values and tensors."
            ) from error

    def _read(self) -> dict[str, Any] | None:
        content = b""
        if self.process_group.rank == 0:
            with suppress(OSError):
                content = self.path.read_bytes()
        content = self.process_group.broadcast(content)
        try:
            if sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None  # torch would take a changed byte of a weight for the weight
            state = self._decode(content[_DIGEST:])
            return state if state["name"] == self.name else None
        except Exception:  # none, damaged, or something else altogether
            return None


def _packed(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def identity(
    net: Any, rows: Rows, held_out: Rows | None, params: Mapping[str, Any], tag: str
) -> str:
    """A name for the training that `net` is about to do."""
    objective = type(net.objective)
    optimizer: Any = getattr(net.optimizer_, "optimizer", net.optimizer_)  # inside accelerate's
    precision = getattr(getattr(net, "accelerator", None), "mixed_precision", None)
    return fingerprint(
        tag,
        torch.__version__,
        torch.device(net.device).type,
        f"{objective.__module__}.{objective.__qualname__}",
        {name: value for name, value in params.items() if name not in _ASIDE},
        net.objective,
        net.module_,
        [type(optimizer), optimizer.defaults],
        [net.train_transform, net.max_epochs, net.batch_size],
        [cb for _, cb in net.callbacks_ if not getattr(cb, "only_watches", False)],
        [rows, held_out],
        random_states(),
        [rows.process_group.size, str(precision)],
    )


def _check_keepable(net: Any, params: Mapping[str, Any]) -> None:
    if params.get("random_state", 0) is None:
        raise InputError(
            "random_state is None, and TrainingCheckpoint identifies a run by its seed. Set "
            "random_state to an int."
        )
    kind = type(net.objective)
    if kind is not Objective and kind.state_dict is Objective.state_dict:
        raise InputError(
            f"{kind.__name__} has no state_dict, and TrainingCheckpoint cannot know what of it "
            "lives from one epoch to the next. Give it state_dict() and load_state_dict(state); if "
            "nothing does, a state_dict() that returns {}."
        )
    for name, callback in net.callbacks_:
        check_callback(name, callback)
