"""Weights from files and packages: strict but for the head, whatever a script wrapped them in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torchvision import models

from fairvision.exceptions import InputError
from fairvision.nn.backbones import build_classifier
from fairvision.nn.pretrained import Unfetched, trained_size
from fairvision.nn.weights import load_trunk, read_state, weights_file

NAME = "squeezenet1_1"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return dict(models.squeezenet1_1().state_dict())


def check_loaded(path: str | Path, state: dict[str, torch.Tensor]) -> None:
    trunk = build_classifier(NAME, str(path), (3, 32, 32), 2).trunk.state_dict()
    assert trunk
    assert all(torch.equal(value, state[name]) for name, value in trunk.items())


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "backbone."],
)
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_what_training_scripts_put_around_it_is_removed(tmp_path, state, prefix, wrapper):
    wrapped = {prefix + name: value for name, value in state.items()}
    torch.save({wrapper: wrapped, "epoch": 3} if wrapper else wrapped, tmp_path / "net.pt")
    check_loaded(tmp_path / "net.pt", state)


def test_safetensors(tmp_path, state):
    from safetensors.torch import save_file

    save_file(state, tmp_path / "net.safetensors")
    check_loaded(tmp_path / "net.safetensors", state)


def test_a_head_of_ones_own_is_left_out(tmp_path, state):
    trunk = {name: value for name, value in state.items() if name.startswith("features")}
    torch.save({**trunk, "classifier.0.own.weight": torch.zeros(7)}, tmp_path / "net.pt")
    check_loaded(tmp_path / "net.pt", state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.12.more.weight": torch.zeros(3)}, "holds 1 weights too many, 'features.12.m"),
        ({"features.0.weight": None}, "lacks 1 of the backbone's weights, 'features.0.weight'"),
        ({"features.0.weight": torch.zeros(3)}, "size mismatch"),
        ({"features.0.weight": 3}, "holds no state dict"),
    ],
)
def test_weights_of_another_net_are_refused(tmp_path, state, change, message):
    changed = {k: v for k, v in {**state, **change}.items() if v is not None}
    torch.save(changed, tmp_path / "net.pt")
    with pytest.raises(InputError, match=f"(?s)net.pt .*{message}"):
        build_classifier(NAME, str(tmp_path / "net.pt"), (3, 32, 32), 2)


def test_those_of_a_deeper_resnet_are_refused():
    trunk = models.resnet18()
    trunk.fc = torch.nn.Identity()
    with torch.device("meta"):
        deeper = dict(models.resnet34().state_dict())
    zeros = {name: torch.zeros(value.shape) for name, value in deeper.items()}
    with pytest.raises(InputError, match=r"x.pth holds 96 .*'layer1.2.*resnet18 has other layers"):
        load_trunk(trunk, zeros, ("fc",), "x.pth", "resnet18")


def test_the_first_files_of_densenet_have_other_names():
    trunk = models.densenet121()
    trunk.classifier = torch.nn.Identity()
    old = {
        name.replace("norm1", "norm.1").replace("conv2", "conv.2"): value
        for name, value in trunk.state_dict().items()
    }
    load_trunk(trunk, old, ("classifier",), "old.pth", "densenet121")


class TestPackages:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch, state):
        folder = tmp_path / "net_weights"
        folder.mkdir()
        (folder / "__init__.py").write_text("raise RuntimeError('imported')")
        torch.save(state, folder / "first.pth")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        return folder

    def test_its_file_is_found_and_the_package_not_imported(self, package, state):
        check_loaded("package:net_weights", state)
        check_loaded("package:net_weights/first.pth", state)
        assert "net_weights" not in sys.modules

    def test_one_of_several_is_to_be_named(self, package, state):
        torch.save({}, package / "other.pth")
        check_loaded("package:net_weights/first.pth", state)
        for weights in ("package:net_weights", "package:net_weights/no.pth"):
            with pytest.raises(InputError, match=r"'first.pth', 'other.pth'.*net_weights/FILE"):
                weights_file(weights)

    @pytest.mark.parametrize(
        "name", ["no_such_package", "", ".", "no.such.package", "json.decoder"]
    )
    def test_one_that_is_not_installed_is_named(self, name):
        with pytest.raises(InputError, match=r"no package .* is installed"):
            weights_file(f"package:{name}")

    def test_it_is_no_backbone(self):
        with pytest.raises(InputError, match="names weights"):
            build_classifier("package:net_weights", None, (3, 32, 32), 2)


def test_offline_the_file_its_place_size_and_hash_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    place = str(tmp_path / "hub" / "checkpoints")
    wanted = (
        rf"mobilenet_v2-7ebf99e0.pth \(13.6 MB, its SHA-256 begins with 7ebf99e0\) into {place}"
    )
    with pytest.raises(InputError, match=f"(?s)IMAGENET1K_V2.*no network.*{wanted}"):
        build_classifier("mobilenet_v2", "DEFAULT", (3, 32, 32), 2)


def test_a_file_in_torchs_own_folder_is_used_by_name(tmp_path, monkeypatch, state):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    entry = models.SqueezeNet1_1_Weights.DEFAULT
    torch.save(state, tmp_path / "hub/checkpoints" / entry.url.rpartition("/")[2])
    check_loaded("DEFAULT", state)


@pytest.mark.parametrize(
    ("backbone", "weights", "size"),
    [
        ("mobilenet_v2", None, None),
        ("mobilenet_v2", "DEFAULT", (224, 224)),
        ("inception_v3", "DEFAULT", (299, 299)),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", (384, 384)),
        ("efficientnet_b4", Unfetched("package:anything"), (380, 380)),
        ("small-cnn", "DEFAULT", None),
    ],
)
def test_the_size_of_their_card(backbone, weights, size):
    assert trained_size(backbone, weights) == size


def test_nothing_in_a_file_is_run(tmp_path):
    torch.save(models.squeezenet1_1, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"net.pt cannot be loaded"):
        read_state(tmp_path / "net.pt")


@pytest.mark.parametrize("weights", [True, 3, {"a": torch.zeros(1)}])
def test_what_is_neither_a_path_nor_a_name_is_refused(weights):
    with pytest.raises(InputError, match=rf"weights is a {type(weights).__name__}; pass the path"):
        build_classifier(NAME, weights, (3, 32, 32), 2)


def test_a_whole_model_is_not_run(tmp_path):
    torch.save(models.squeezenet1_1(), tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"holds more than tensors.*model.state_dict\(\)") as error:
        read_state(tmp_path / "net.pt")
    assert len(str(error.value)) < 400
