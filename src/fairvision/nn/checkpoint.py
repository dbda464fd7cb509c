"""A training that resumes where it was interrupted, with bit-identical results."""

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
# Parameters that do not affect the weights, or whose effect is in the random states and rows.
_ASIDE = ("callbacks", "device", "random_state", "validation_data", "verbose", "warm_start")


@dataclass(eq=False, repr=False)
class TrainingCheckpoint(Callback):
    """Checkpoint a training every few epochs, and resume from the checkpoint after a crash.

    Put it among the ``callbacks`` of a `TorchClassifier` or of a method that is one. After an
    interrupt, a crash or a kill, the same ``fit`` trains only the remaining epochs. The weights,
    the history and the optimiser are then those of an uninterrupted training, bit for bit on the
    same machine with the same number of threads.

    Parameters
    ----------
    folder : str or Path
        Created if absent. Each training has its own file, named by a hash of everything that
        decides its result: initial weights, random states, parameters, data (for images that are
        read on access, their paths and 64 images), version of torch. So trainings can share the
        folder, and none reads the file of another.
    every : int, default=5
        Epochs between two checkpoints.
    keep : bool, default=False
        Keep the file of a finished training, so that the same `fit` trains no epoch. Otherwise
        the file is removed.
    strict : bool, default=True
        Raise if a training cannot be checkpointed; False warns and trains without checkpoints.
    tag : str, default=""
        Text to include in the hash, for settings that only the caller knows.

    Raises
    ------
    InputError
        At the start of the training: if `random_state` is None (the checkpoint is identified by
        its seed), the state of a callback or an objective cannot be read, or the folder cannot be
        created.

    Notes
    -----
    A checkpoint holds the module, the optimiser, the objective (`Objective.state_dict`), the
    random states of torch, CUDA, numpy and Python, the history, and the attributes of each
    callback that end in an underscore (skorch's convention), such as those of learning-rate
    schedulers and early stopping. A callback may have ``state_dict()`` and
    ``load_state_dict(state)`` instead. A `train_transform` with a state of its own (a generator,
    a counter) starts anew; torchvision's have none.

    If several processes train one model, only rank 0 reads and writes, so only rank 0 needs the
    folder. A checkpoint is valid for the same number of processes only.

    The file is read with ``weights_only=True``, which runs no code. It is written to a temporary
    file and renamed; a damaged file is ignored.

    Examples
    --------
    >>> from fairvision.nn import TorchClassifier, TrainingCheckpoint
    >>> model = TorchClassifier(
    ...     max_epochs=200, random_state=0, callbacks=[TrainingCheckpoint("checkpoints", every=10)]
    ... )
    """

    #: A callback with this attribute does not influence the weights, so the hash omits it.
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
        """The checkpoint file of a training before its start; None if it cannot have one."""
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
        The processes that do the training.

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
        """Replace the file; if the disk is full, only the checkpoint is lost."""
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
                "Training continues; if it is interrupted, it resumes from an older checkpoint.",
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
        # Each process draws its own random numbers for its shard of a batch.
        rank_state = _packed(
            {"random": state.pop("random"), "stream": self.process_group.rng_states}
        )
        each = [
            self._decode(content) for content in self.process_group.all_gather_object(rank_state)
        ]
        return {"name": self.name, "finished": finished, **state, "processes": each}

    def _restore(self, state: dict[str, Any]) -> None:
        rank_state = state["processes"][self.process_group.rank]
        restore(self.net, {**state, "random": rank_state["random"]})
        self.process_group.rng_states = rank_state["stream"]

    def _decode(self, content: bytes) -> dict[str, Any]:
        try:
            return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        except Exception as error:
            name = type(self.net.objective).__name__
            raise InputError(
                f"the state of this training, or of its {name}, cannot be restored from a file "
                f"without pickle: {error} Give state_dict plain values and tensors."
            ) from error

    def _read(self) -> dict[str, Any] | None:
        content = b""
        if self.process_group.rank == 0:
            with suppress(OSError):
                content = self.path.read_bytes()
        content = self.process_group.broadcast(content)
        try:
            if sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None  # torch would not notice a changed byte in a weight
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
            f"{kind.__name__} has no state_dict, so TrainingCheckpoint cannot save its state "
            "between epochs. Give it state_dict() and load_state_dict(state); without such state, "
            "let state_dict() return {}."
        )
    for name, callback in net.callbacks_:
        check_callback(name, callback)
