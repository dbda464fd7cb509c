"""One training run of a progressive GAN: what is logged, drawn, kept, and gone back to."""

from __future__ import annotations

import copy
import io
import warnings
from dataclasses import dataclass, field
from math import isfinite
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

__all__ = ["Run"]

_LOGGED = 50  # steps between two entries of the history


@dataclass(eq=False)
class Run:
    """A trainer on its way.

    Attributes
    ----------
    trainer : Trainer
    latents : Tensor of shape (n_samples, latent_dim)
        Drawn at the end of every stage.
    asked : dict
        The parameters that decide the weights: a checkpoint must have the same.
    every : int
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
    asked: dict[str, Any]
    every: int
    file: Path | None = None
    sheets: Path | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    stopped: str = ""
    _good: dict[str, Any] | None = None

    def train(self, *, show: bool) -> None:
        """Train to the end, or until losses are no numbers any more."""
        trainer, schedule = self.trainer, self.trainer.schedule
        values: list[tuple[float, float]] = []
        with ProgressBar(schedule.total, "GAN", show=show) as bar:
            while trainer.step_number < schedule.total:
                ends = schedule.ends_stage(trainer.step_number)
                values.append(trainer.step())
                if not isfinite(sum(values[-1])):
                    return self._stop()
                if ends or trainer.step_number % _LOGGED == 0:
                    self._log(values)
                    bar.update(trainer.step_number, _progress_label(self.history[-1]))
                    values = []
                if ends or trainer.step_number % self.every == 0:
                    if not trainer.is_finite():
                        return self._stop()
                    if ends:
                        self._draw()
                    self._keep()

    @property
    def _resolution(self) -> int:
        return SMALLEST << self.trainer.stage

    def _log(self, values: list[tuple[float, float]]) -> None:
        estimate, score = np.mean(values, axis=0).tolist()
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

    def _keep(self) -> None:
        content = {
            "asked": self.asked,
            "history": list(self.history),
            "samples": {k: torch.from_numpy(v) for k, v in self.samples.items()},
            "state": self.trainer.state(),
        }
        if self.file is not None:
            _write(self.file, content)
        self._good = copy.deepcopy(content)  # a state's tensors are the nets' own, which train on

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises
        ------
        InputError
            If that is of a run with other parameters, or other images.
        """
        path = self.file
        if path is None or not path.exists():
            return
        try:
            content = torch.load(path, weights_only=True, map_location="cpu")
            was = dict(content["asked"])
        except Exception as error:  # a damaged file raises anything
            reason = str(error).partition("\n")[0]
            warnings.warn(
                f"{path} cannot be read ({reason}); the GAN is trained from its start.",
                FairvisionWarning,
                stacklevel=4,
            )
            return
        other = sorted(k for k in self.asked if was.get(k) != self.asked[k])
        if other:
            raise InputError(
                f"{path} is of a run with {', '.join(f'{k}={was.get(k)!r}' for k in other)}. Pass "
                "the same parameters and images to go on, or another folder to start anew."
            )
        self._good = content
        self._recall()

    def _recall(self) -> None:
        assert self._good is not None
        content = copy.deepcopy(self._good)
        self.trainer.restore(content["state"])
        self.history = content["history"]
        self.samples = {k: v.numpy() for k, v in content["samples"].items()}

    def _stop(self) -> None:
        """Go back to what was good, and say so."""
        where = f"step {self.trainer.step_number} of {self.trainer.schedule.total}"
        advice = "Lower lr, or raise penalty."
        if self._good is None:
            raise InputError(
                f"The GAN's losses are not finite at {where}, before the first checkpoint "
                f"(checkpoint_steps={self.every}). {advice}"
            )
        self._recall()
        kept = f"step {self.trainer.step_number} at {self._resolution} pixels"
        self.stopped = f"losses were not finite at {where}; the weights are those of {kept}"
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
            f"{path} cannot be written: {error.strerror or error}. The GAN is trained on; if it is "
            "stopped it starts from an older checkpoint.",
            FairvisionWarning,
            stacklevel=5,
        )
