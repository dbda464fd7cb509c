"""The training loop of a progressive GAN: its history, image sheets and checkpoints."""

from __future__ import annotations

import copy
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairvision.base import ProgressBar, atomic_write
from fairvision.datasets import contact_sheet
from fairvision.exceptions import FairvisionWarning, InputError
from fairvision_latent._networks import SMALLEST, draw_images
from fairvision_latent._training import Trainer

__all__ = ["GANTraining"]

_LOG_INTERVAL = 50  # steps between two entries of the history


@dataclass(eq=False)
class GANTraining:
    """Trains to the end of the schedule, with checkpoints.

    Attributes
    ----------
    trainer : Trainer
    latents : Tensor of shape (n_samples, latent_dim)
        Drawn at the end of every stage.
    identity : dict
        The parameters that decide the weights; a checkpoint must have the same ones.
    checkpoint_steps : int
        Steps between two checkpoints.
    file : Path or None
        The checkpoint.
    sheets : Path or None
        A folder for an image sheet of every stage.
    history, samples, stopped
        As the estimator's `history_`, `stage_samples_` and `stopped_`.
    """

    trainer: Trainer
    latents: Tensor
    identity: dict[str, Any]
    checkpoint_steps: int
    file: Path | None = None
    sheets: Path | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    stopped: str = ""
    _saved: dict[str, Any] | None = None

    def train(self, *, show: bool) -> None:
        """Train to the end, or until a loss or a weight is not finite."""
        trainer, schedule = self.trainer, self.trainer.schedule
        values: list[Tensor] = []
        with ProgressBar(schedule.total, "GAN", show=show) as bar:
            while trainer.step_number < schedule.total:
                ends = schedule.ends_stage(trainer.step_number)
                values.append(trainer.step())
                log = ends or trainer.step_number % _LOG_INTERVAL == 0
                # A look at each step's losses would make it wait for a GPU.
                recent = values if log else values[-1:] if trainer.device.type == "cpu" else []
                if recent and not bool(torch.stack(recent).isfinite().all()):
                    return self._stop()
                if log:
                    self._log(values)
                    bar.update(trainer.step_number, _progress_label(self.history[-1]))
                    values = []
                if ends or trainer.step_number % self.checkpoint_steps == 0:
                    if not trainer.is_finite():
                        return self._stop()
                    if ends:
                        self._draw()
                    self._save()

    @property
    def _resolution(self) -> int:
        return SMALLEST << self.trainer.stage

    def _log(self, values: list[Tensor]) -> None:
        estimate, score = torch.stack(values).cpu().double().numpy().mean(axis=0).tolist()
        entry = {"step": self.trainer.step_number, "resolution": self._resolution}
        self.history.append({**entry, "estimate": estimate, "score": score})

    def _draw(self) -> None:
        images = draw_images(self.trainer.average, self.latents)
        self.samples[self._resolution] = np.rint(images * 255).astype(np.uint8)
        if self.sheets is not None:
            self.sheets.mkdir(parents=True, exist_ok=True)
            sheet = contact_sheet(self.samples[self._resolution], scale=2)
            sheet.save(self.sheets / f"stage-{self._resolution:03d}.png")

    # -- checkpoints --------------------------------------------------------------

    def _save(self) -> None:
        content = {
            "identity": self.identity,
            "history": list(self.history),
            "samples": {k: torch.from_numpy(v) for k, v in self.samples.items()},
            "state": self.trainer.state(),
        }
        if self.file is not None:
            _write(self.file, content)
        self._saved = copy.deepcopy(content)  # its tensors are the nets' own

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one.

        Raises
        ------
        InputError
            If it was trained with other parameters, or on other images.
        """
        path = self.file
        if path is None or not path.exists():
            return
        try:
            content = torch.load(path, weights_only=True, map_location="cpu")
            other = dict(content["identity"])
        except Exception as error:  # a damaged file raises anything
            reason = str(error).partition("\n")[0]
            warnings.warn(
                f"{path} cannot be read ({reason}); the GAN is trained from the start.",
                FairvisionWarning,
                stacklevel=4,
            )
            return
        different = sorted(k for k in self.identity if other.get(k) != self.identity[k])
        if different:
            values = ", ".join(f"{k}={other.get(k)!r}" for k in different)
            raise InputError(
                f"{path} was trained with {values}. Pass the same parameters and images to "
                "continue it, or another folder to start anew."
            )
        self._saved = content
        self._restore()

    def _restore(self) -> None:
        assert self._saved is not None
        content = copy.deepcopy(self._saved)
        self.trainer.restore(content["state"])
        self.history = content["history"]
        self.samples = {k: v.numpy() for k, v in content["samples"].items()}

    def _stop(self) -> None:
        """Return to the last checkpoint, with a warning."""
        failed = f"step {self.trainer.step_number} of {self.trainer.schedule.total}"
        advice = "Lower lr, or raise penalty."
        if self._saved is None:
            raise InputError(
                f"The GAN's losses are not finite at {failed}, before the first checkpoint "
                f"(checkpoint_steps={self.checkpoint_steps}). {advice}"
            )
        self._restore()
        kept = f"step {self.trainer.step_number} at {self._resolution} pixels"
        self.stopped = f"losses were not finite at {failed}; the weights are those of {kept}"
        warnings.warn(
            f"ProgressiveGAN stopped: {self.stopped}. {advice}", FairvisionWarning, stacklevel=5
        )


def _progress_label(entry: dict[str, Any]) -> str:
    return f"GAN, {entry['resolution']} pixels, critic {entry['estimate']:.2f}"


def _write(path: Path, content: dict[str, Any]) -> None:
    """Replace a checkpoint; on a full disk warn and let the training go on."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(buffer.getvalue())
    except OSError as error:
        warnings.warn(
            f"{path} cannot be written: {error.strerror or error}. Training continues; after an "
            "interrupt it resumes from an older checkpoint.",
            FairvisionWarning,
            stacklevel=5,
        )
