"""`ProgressiveGAN`: a small progressive GAN as an estimator that is fitted on images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass
from math import ceil
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from fairvision.base import all_or_nothing, check_numbers, check_pixels
from fairvision.exceptions import InputError
from fairvision.nn import (
    Rows,
    as_seed,
    choose_device,
    computes_bfloat16,
    device_or_cpu,
    fingerprint,
    isolated_rng,
)
from fairvision_latent._augment import AUGMENTATIONS
from fairvision_latent._gan_training import GANTraining
from fairvision_latent._networks import Generator, ImageCritic, draw_images, stage_widths
from fairvision_latent._training import Schedule, Trainer

__all__ = ["GAN_PRESETS", "ProgressiveGAN"]

#: "demo" takes seconds and draws a blur, "quick" takes minutes on a CPU, "paper" needs a GPU.
GAN_PRESETS: dict[str, dict[str, Any]] = {
    "demo": {"images_per_phase": 960, "final_images": 2400, "max_width": 32, "base_width": 256},
    "quick": {},
    "paper": {
        "latent_dim": 512,
        "max_width": 512,
        "base_width": 16384,
        "images_per_phase": 600_000,
        "final_images": 2_000_000,
        "batch_size": 16,
        "penalty_interval": 1,
    },
}
_PLACES = ("checkpoint", "cache", "device", "amp")
# A sixth faster than the default, on a CPU and on a GPU.
_MEMORY_FORMAT = torch.channels_last


# A dataclass writes each parameter once; its `__init__` stores them and does nothing else.
@dataclass(eq=False, repr=False)
class ProgressiveGAN(BaseEstimator):
    """A generative adversarial network that grows from 4 x 4 pixels to the images' size.

    Karras et al. [1]_: equalised learning rate, pixel-wise normalisation,
    standard deviation over the batch, WGAN-GP, each resolution faded in, and a
    moving average of the generator's weights.

    Parameters
    ----------
    image_size : int or None, default=None
        Height and width: a power of two from 8. None takes that of X.
    latent_dim : int, default=64
    max_width, base_width : int, default=64, 512
        Channels at a resolution r: base_width / r, at most max_width.
    images_per_phase : int, default=16000
        Real images shown during a fade, and during the training after it.
    final_images : int, default=80000
        Real images shown at full resolution after its fade.
    batch_size : int, default=16
    lr : float, default=1e-3
    penalty : float, default=10.0
        Weight of the gradient penalty.
    penalty_interval : int, default=4
        Steps between two penalties; 1 is as published and costs half as much again.
    drift : float, default=1e-3
    average_images : float, default=5000
        Half-life, in images, of the moving average.
    checkpoint : path or None, default=None
        A folder for checkpoints and an image sheet of each stage. A `fit` with the
        same parameters resumes from it, and ends with the same weights as one that
        was never interrupted.
    cache : path or None, default=None
        A folder that several trainings may share, in place of `checkpoint`. Each has its own
        file, named by a hash of everything that decides its weights (images, parameters,
        versions; for lazy images their paths and 64 images). `fit` resumes from it, and a
        finished GAN is read from it. Processes that need the same GAN wait for the first.
    checkpoint_steps : int, default=1000
    n_samples : int, default=40
        Images on a sheet.
    augmentations : sequence of {"color", "translation", "cutout"} or None, default=None
        Change all images that the critic sees, real and generated, at random [2]_. With a few
        thousand images, or many epochs, it keeps the critic from knowing them by heart.
    amp : bool or "auto", default="auto"
        Train in bfloat16 autocast; ``"auto"`` does so on a CUDA device that computes in it.
        There the images are kept as well, if they fill at most a quarter of its free memory.
    device : str, default="auto"
    random_state : int, RandomState, Generator or None, default=None
        To resume, pass an int.
    verbose : int, default=0
        1 shows a bar with the critic's estimate.

    Attributes
    ----------
    generator_ : nn.Module
        Latents to images in 0..1, of the averaged weights.
    history_ : list of dict
        step, resolution, ``estimate`` (the critic's, of the distance between real
        and generated images) and ``score``, every 50 steps.
    stage_samples_ : dict of int to ndarray of shape (n_samples, n_channels, height, width), uint8
        The same latents drawn at the end of each stage, by resolution.
    stopped_ : str
        Why training stopped early, or empty.
    image_shape_ : tuple (n_channels, height, width)

    References
    ----------
    .. [1] T. Karras, T. Aila, S. Laine, J. Lehtinen: Progressive Growing of GANs for
       Improved Quality, Stability, and Variation. ICLR 2018, arXiv:1710.10196.
    .. [2] S. Zhao, Z. Liu, J. Lin, J.-Y. Zhu, S. Han: Differentiable Augmentation for
       Data-Efficient GAN Training. NeurIPS 2020, arXiv:2006.10738.

    Examples
    --------
    >>> from fairvision.datasets import load_faces
    >>> from fairvision_latent import ProgressiveGAN
    >>> faces = load_faces(64, image_size=32, random_state=0)
    >>> gan = ProgressiveGAN(images_per_phase=16, final_images=16, max_width=8, random_state=0)
    >>> gan.fit(faces.images).sample(5, random_state=0).shape
    (5, 3, 32, 32)
    """

    image_size: int | None = None
    _: KW_ONLY
    latent_dim: int = 64
    max_width: int = 64
    base_width: int = 512
    images_per_phase: int = 16_000
    final_images: int = 80_000
    batch_size: int = 16
    lr: float = 1e-3
    penalty: float = 10.0
    penalty_interval: int = 4
    drift: float = 1e-3
    average_images: float = 5_000
    checkpoint: Any = None
    cache: Any = None
    checkpoint_steps: int = 1000
    n_samples: int = 40
    augmentations: Any = None
    amp: bool | str = "auto"
    device: str = "auto"
    random_state: Any = None
    verbose: int = 0

    @classmethod
    def from_preset(cls, name: str, **params: Any) -> Self:
        """One of "demo" (seconds), "quick" (minutes on a CPU), "paper" (for a GPU)."""
        if name not in GAN_PRESETS:
            raise InputError(f"preset is {name!r}; there are {', '.join(GAN_PRESETS)}.")
        return cls(**{**GAN_PRESETS[name], **params})

    # -- training -----------------------------------------------------------------

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Train on images, or resume from the checkpoint.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels, size, size)
            uint8 in 0..255 or floating in 0..1, or a lazy image sequence.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            If images have another size, a parameter is out of range, the
            checkpoint has other parameters, or the first losses are not finite.
        """
        X = check_pixels(X, type(self).__name__)
        self._check(X)
        self.image_shape_ = tuple(int(size) for size in X.shape[1:])
        device = choose_device(self.device)
        with isolated_rng(as_seed(self.random_state), device):
            trainer = self._trainer(X, device)
            identity = self._identity(X, device)
            latents = torch.randn(self.n_samples, self.latent_dim)
            training = GANTraining(trainer, latents, identity, self.checkpoint_steps)
            lock: AbstractContextManager[None] = nullcontext()
            if self.checkpoint is not None:
                training.sheets = Path(self.checkpoint)
                training.file = training.sheets / "checkpoint.pt"
            elif self.cache is not None:
                name = fingerprint(
                    identity, trainer.generator, trainer.critic, torch.__version__, device.type
                )
                training.file = Path(self.cache) / f"gan-{name}.pt"
                lock = _locked(training.file)
            try:
                with lock:
                    training.resume()
                    training.train(show=self.verbose > 0)
            finally:
                trainer.graphs.clear()  # they and the trainer hold each other, and much memory
        self.history_, self.stage_samples_ = training.history, training.samples
        self.stopped_, self.generator_ = training.stopped, trainer.average.eval()
        return self

    def _check(self, X: Any) -> None:
        sizes = ("latent_dim", "max_width", "base_width", "images_per_phase", "final_images")
        counts = ("penalty_interval", "checkpoint_steps", "n_samples")
        check_numbers(self, *sizes, *counts, low=1, whole=True)
        check_numbers(self, "batch_size", low=2, whole=True)
        if self.cache is not None and self.checkpoint is not None:
            raise InputError("checkpoint and cache are both given; one folder is enough. Pass one.")
        if self.cache is not None and not isinstance(self.random_state, (int, np.integer)):
            raise InputError(
                f"random_state is {self.random_state!r}, and a GAN in cache is identified by its "
                "seed. Pass an int."
            )
        if not set(self.augmentations or ()) <= set(AUGMENTATIONS):
            raise InputError(
                f"augmentations is {self.augmentations!r}; pass some of {AUGMENTATIONS}, or None."
            )
        if not isinstance(self.amp, bool) and self.amp != "auto":
            raise InputError(f"amp is {self.amp!r}; pass True, False or 'auto'.")
        for name in ("lr", "average_images"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; pass a number above 0.")
        height, width = (int(size) for size in X.shape[2:])
        size = self.image_size or height
        if size < 8 or size & (size - 1):
            raise InputError(
                f"The images have {size} pixels; a progressive GAN starts at 4, doubles, and "
                "needs 8, 16, 32, 64, 128, ... Load them in one of these sizes."
            )
        if (height, width) != (size, size):
            raise InputError(
                f"X has images of {height} x {width} pixels, image_size is {size}. Load them as "
                f"{size} x {size}."
            )

    def _nets(self) -> tuple[Generator, ImageCritic]:
        n_channels, size, _ = self.image_shape_
        widths = stage_widths(size, self.max_width, self.base_width)
        return Generator(self.latent_dim, n_channels, widths), ImageCritic(n_channels, widths)

    def _in_bfloat16(self, device: torch.device) -> bool:
        if self.amp != "auto":
            return bool(self.amp)
        return device.type == "cuda" and computes_bfloat16(device)

    def _trainer(self, X: Any, device: torch.device) -> Trainer:
        images = Rows(X, np.zeros(len(X)))
        on_device = images.keep_on(device)

        def rows(numbers: Tensor) -> Tensor:
            return images.batch(numbers.pin_memory() if on_device else numbers, device).images

        generator, critic = self._nets()
        phase_steps, final_steps = (
            ceil(n / self.batch_size) for n in (self.images_per_phase, self.final_images)
        )
        return Trainer(
            generator.to(device).to(memory_format=_MEMORY_FORMAT),
            critic.to(device).to(memory_format=_MEMORY_FORMAT),
            rows,
            len(X),
            schedule=Schedule(len(generator.to_image), phase_steps, final_steps),
            batch_size=self.batch_size,
            lr=self.lr,
            penalty=self.penalty,
            penalty_interval=self.penalty_interval,
            drift=self.drift,
            average_images=self.average_images,
            augmentations=self.augmentations or (),
            amp=self._in_bfloat16(device),
        )

    def _identity(self, X: Any, device: torch.device) -> dict[str, Any]:
        """The parameters that decide the weights, and a hash of the images."""
        irrelevant = {*_PLACES, "checkpoint_steps", "verbose", "image_size"}
        if self.augmentations is None:  # files from before there were any stay valid
            irrelevant.add("augmentations")
        params = {k: v for k, v in self.get_params().items() if k not in irrelevant}
        if self._in_bfloat16(device):
            params["amp"] = True
        images = fingerprint(Rows(X, np.zeros(len(X))))
        shape = list(self.image_shape_)
        return {**params, "random_state": repr(self.random_state), "shape": shape, "images": images}

    # -- images -------------------------------------------------------------------

    def generate(self, z: ArrayLike) -> NDArray[np.float32]:
        """Images of latents.

        Parameters
        ----------
        z : array-like of shape (n, latent_dim)

        Returns
        -------
        ndarray of shape (n, n_channels, height, width), float32 in 0..1
        """
        check_is_fitted(self, "generator_")
        latents = np.asarray(z, dtype=np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.generator_.latent_dim:
            raise InputError(
                f"z has shape {latents.shape}; expected (n, {self.generator_.latent_dim})."
            )
        return draw_images(self.generator_, torch.from_numpy(np.ascontiguousarray(latents)))

    def sample(self, n: int, random_state: Any = None) -> NDArray[np.float32]:
        """Images of `n` latents drawn from the standard normal distribution."""
        check_is_fitted(self, "generator_")
        rng = np.random.default_rng(as_seed(random_state))
        return self.generate(rng.standard_normal((n, self.generator_.latent_dim)))

    def save(self, folder: Any) -> None:
        """Write the averaged generator: ``generator.safetensors`` and ``gan.json``."""
        from safetensors.torch import save_file

        check_is_fitted(self, "generator_")
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        save_file(
            {k: v.cpu().contiguous() for k, v in self.generator_.state_dict().items()},
            path / "generator.safetensors",
        )
        params = {k: v for k, v in self.get_params().items() if k not in _PLACES}
        params["random_state"] = self.random_state if isinstance(self.random_state, int) else None
        about = {
            "params": params,
            "image_shape": list(self.image_shape_),
            "growth": self.generator_.growth,
            "stopped": self.stopped_,
            "history": self.history_,
        }
        (path / "gan.json").write_text(json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Any, **params: Any) -> Self:
        """Read what `save` wrote; `params` such as ``device`` on top."""
        from safetensors.torch import load_file

        path = Path(folder)
        if not (path / "gan.json").is_file():
            raise InputError(f"{str(folder)!r} holds no gan.json. Pass a folder that `save` wrote.")
        about = json.loads((path / "gan.json").read_text())
        gan = cls(**{**about["params"], **params})
        gan.image_shape_ = tuple(about["image_shape"])
        gan.history_, gan.stopped_, gan.stage_samples_ = about["history"], about["stopped"], {}
        with isolated_rng(0):
            gan.generator_ = gan._nets()[0]
        gan.generator_.load_state_dict(load_file(path / "generator.safetensors"))
        gan.generator_.growth = about["growth"]
        gan.generator_.requires_grad_(False).eval()
        gan.generator_.to(device_or_cpu(gan.device)).to(memory_format=_MEMORY_FORMAT)
        return gan

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "generator_")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep other processes from training the same GAN; they wait, and then read it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{file}.lock")
        lock.acquire()
    except OSError as error:
        raise InputError(
            f"cache folder {str(file.parent)!r} cannot be written: {error.strerror or error}. Name "
            "another folder, or pass cache=None."
        ) from error
    try:
        yield
    finally:
        lock.release()
