"""What the plugin offers, through the host's door; the report's section."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.datasets import FaceGenerator, load_faces
from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier
from fairvision_latent import LatentPairSampler, ProgressiveGAN, pairs_figure
from fairvision_latent._gan import GAN_PRESETS
from fairvision_latent._small import small
from fairvision_latent._training import Trainer
from fairvision_latent.plugin import fairvision_preprocessing, fairvision_report_sections

pytestmark = pytest.mark.cpu

GENERATOR = FaceGenerator(24, correlation={("hat", "background"): 0.8})


def test_the_method_is_offered() -> None:
    (method,) = fairvision_preprocessing()
    assert (method.name, str(method.needs), method.targets) == (
        "latent-debiasing",
        "fit",
        ("binary",),
    )
    for preset, params in method.presets.items():
        made = fv.make("latent-debiasing", preset=preset, random_state=3)
        assert type(made) is LatentPairSampler
        assert made.generator == params["generator"] in (*GAN_PRESETS, "components")
        assert made.random_state == 3
    (section,) = fairvision_report_sections()
    assert section.target == "fairvision_latent:pairs_figure"
    assert section.methods == ("latent-debiasing",)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["pair", "on-hyperplane"])
def test_the_figure(faces: Bunch, variant: Any) -> None:
    groups = faces.attributes[["background", "beard"]]
    net = TorchClassifier(max_epochs=1, random_state=0)
    made = LatentPairSampler(
        GENERATOR, variant=variant, n_pairs=60, n_hyperplane=600, classifier=net, random_state=0
    )
    model = fv.compose(pre=made, model=net)
    model.fit(faces.images, faces.target, sensitive_features=groups)
    figure = pairs_figure(model, faces.images, faces.target, sensitive_features=groups)
    table, *strips = figure.axes
    after = [bar.get_width() for bar in table.patches[8:]]
    shares = model.sampler_.table_["after"] / model.sampler_.table_["after"].sum()
    np.testing.assert_allclose(after, shares)
    assert len(strips) == 1 + 3
    for axes in strips:
        shown = np.asarray(axes.images[0].get_array())
        assert shown.shape == (24, 10 * 25, 3)
        assert 0 <= shown.min() < shown.max() <= 1
    figure.savefig(io.BytesIO())
    with pytest.raises(InputError, match="LatentPairSampler has made no pairs"):
        pairs_figure(made, faces.images, faces.target)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* of the generated images are labelled")
def test_a_run_that_was_killed_in_its_gan_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = Trainer.step, []

    def counted(self: Trainer) -> torch.Tensor:
        steps.append(self.step_number)
        if len(steps) == stop:
            raise KeyboardInterrupt
        return step(self)

    def compare(**more: Any) -> Any:
        faces = load_faces(160, 32, target="hat", sensitive=["background", "beard"])
        methods = {"pairs": ("latent-debiasing", small())}
        how = {"seeds": 1, "max_epochs": 1, "n_boot": 0, "progress": False, "report": False}
        return fv.compare(faces, methods, **how, **more)

    stop = 0
    (undisturbed,) = compare().runs  # of two attributes: each flipped, and both
    assert undisturbed.evaluation["disparities"]["deo"]["value"] is not None
    monkeypatch.setattr(Trainer, "step", counted)
    stop = 9
    how = {"out": tmp_path, "checkpoint_every": 1}
    with pytest.raises(KeyboardInterrupt):
        compare(**how)
    steps.clear()
    stop = 0
    (run,) = compare(**how).runs
    assert steps[0] == 6  # where its second stage ended
    np.testing.assert_array_equal(run.y_score, undisturbed.y_score)
    assert not list(tmp_path.rglob("*.pt*"))


@pytest.mark.slow
def test_the_stages_of_a_gan_are_shown(faces: Bunch) -> None:
    gan = ProgressiveGAN(images_per_phase=32, final_images=64, max_width=8, random_state=0)
    images = np.pad(faces.images, [(0, 0), (0, 0), (4, 4), (4, 4)])
    net = TorchClassifier(max_epochs=1, random_state=0)
    params = {"n_pairs": 8, "n_hyperplane": 300, "classifier": net, "judge_fraction": 0}
    made = LatentPairSampler(gan, random_state=0, **params)
    try:
        made.fit_resample(images, faces.target, sensitive_features=faces.sensitive_features)
    except InputError as error:
        pytest.fail(str(error))
    titles = [axes.get_title(loc="left") for axes in pairs_figure(made, None, None).axes]
    assert [t.split("had ")[1] for t in titles if "had" in t] == [
        f"{size} x {size} pixels" for size in (4, 8, 16, 32)
    ]
