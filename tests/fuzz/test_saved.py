"""Files of `fairvision.save` that were damaged or forged, by the thousand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import NASTY, damaged, forged, times, tree
from hypothesis import given
from hypothesis import strategies as st

import fairvision as fv
from fairvision.exceptions import SavingError
from fairvision.nn import TorchClassifier
from fairvision.saving._file import pack, unpack

#: A minute in all, and the same on every Python.
pytestmark = pytest.mark.slow


CANARY = """
import pathlib
mark = pathlib.Path({mark!r})
mark.touch()
class Thing:
    def __init__(self, *args, **kwargs): mark.touch()
    def get_params(self, deep=True): return {{}}
def run(*args, **kwargs): mark.touch()
"""

#: What a forger would name, and forms of nodes that mean something.
NAMES = (
    "canary:Thing", "canary:run", "os:system", "builtins:eval", "builtins:exec", "subprocess:Popen",
    "torch:load", "torch.hub:load", "torch.hub:download_url_to_file", "shutil:rmtree",
    "pathlib:Path", "fairvision:load", "fairvision.saving:save", "numpy:load", "pickle:loads",
    "torchvision.models:resnet18", "torch.optim:SGD", "fairvision.nn:TorchClassifier",
    "fairvision_jlu:JLUClassifier", "sklearn.pipeline:Pipeline", "timm:hf-hub:someone/model",
)  # fmt: skip
KINDS = (
    "array", "data", "dict", "estimator", "float", "frame", "frozenset", "history", "index",
    "items", "name", "object", "pretrained", "ref", "scalar", "series", "set", "steps", "tensor",
    "tuple", "spell",
)  # fmt: skip
DTYPES = ("<f8", "|O", "<U4", "V1000000", "S100000000", "datetime64", "category", "object", "x")
FIELDS = (
    "class", "method", "name", "path", "to", "id", "items", "value", "dtype", "shape", "params",
    "state", "fields", "model", "head", "index", "columns", "data", "names", "values", "rows",
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.integers(-3, 10**12), st.floats(), st.sampled_from([*NAMES, *DTYPES, *NASTY]),
    st.lists(st.integers(-1, 3), max_size=3), st.just({}), st.just([]),
)  # fmt: skip
NODES = st.recursive(
    st.builds(
        lambda kind, fields: {"$": kind, **fields},
        st.sampled_from(KINDS),
        st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6),
    ),
    lambda inner: st.builds(
        lambda kind, fields: {"$": kind, **fields},
        st.sampled_from(KINDS),
        st.dictionaries(st.sampled_from(FIELDS), st.one_of(inner, VALUES), max_size=4),
    ),
    max_leaves=3,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, bytes]:
    """A classifier, and one that a pipeline and a threshold stand around."""
    rng = np.random.default_rng(0)
    images, y = rng.integers(0, 255, (24, 1, 8, 8), dtype=np.uint8), np.arange(24) % 2
    groups = np.array(["left", "right"])[np.arange(24) // 2 % 2]
    inner = TorchClassifier("mlp", max_epochs=1, random_state=0)
    outer = fv.make("threshold-optimizer", estimator=inner)
    found = {}
    for name, model in {"plain": inner, "around": outer}.items():
        model.fit(images, y, sensitive_features=groups)
        found[name] = fv.save(model, folder / name).read_bytes()
    return found


@pytest.fixture(autouse=True, scope="module")
def nothing_happens(folder: Path, models: dict[str, bytes]) -> Any:
    """No module is imported or called by a file, and none writes."""
    mark, code = folder / "mark", folder / "code"
    code.mkdir()
    (code / "canary.py").write_text(CANARY.format(mark=str(mark)))
    sys.path.insert(0, str(code))
    yield
    sys.path.remove(str(code))
    assert not mark.exists()
    assert "canary" not in sys.modules
    assert {name.partition("/")[0] for name in tree(folder)} <= {
        "code", "plain.safetensors", "around.safetensors", "plain", "around", "forged",
    }  # fmt: skip


def load(folder: Path, content: bytes) -> Any:
    """An estimator, or the one error."""
    path = folder / "forged"
    path.write_bytes(content)
    try:
        return fv.load(path)
    except SavingError as error:
        said = str(error)
    assert "forged cannot be loaded" in said
    assert said.isprintable()
    return None


def sealed(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> bytes:
    """With a right checksum, as a forger would."""
    text = json.loads(
        json.dumps(manifest, default=repr).replace("NaN", "0").replace("Infinity", "1")
    )
    return pack({"format": 1} | {k: v for k, v in text.items() if k != "sha256"}, tensors)


@pytest.mark.parametrize("which", ["plain", "around"])
def test_damage_is_seen(folder: Path, models: dict[str, bytes], which: str) -> None:
    whole = models[which]

    @times(1000)
    @given(damaged(whole))
    def attempt(content: bytes) -> None:
        assert load(folder, content) is None or content == whole

    attempt()


@pytest.mark.parametrize("which", ["plain", "around"])
def test_forged_manifests(folder: Path, models: dict[str, bytes], which: str) -> None:
    manifest, tensors = unpack(models[which])

    @times(500)
    @given(forged(manifest))
    def attempt(changed: dict[str, Any]) -> None:
        found = load(folder, sealed(changed, tensors))
        assert found is None or hasattr(found, "get_params")

    attempt()


@pytest.mark.parametrize("where", ["params", "state"])
def test_forged_nodes(folder: Path, models: dict[str, bytes], where: str) -> None:
    """Nodes that say what they are not, in place of a parameter or of something learned."""
    manifest, tensors = unpack(models["around"])
    outer = manifest["estimator"]
    places = [(node, key) for node in _estimators(outer) for key in node[where]]

    @times(500)
    @given(st.sampled_from(places), NODES)
    def attempt(place: tuple[dict[str, Any], str], node: dict[str, Any]) -> None:
        owner, key = place
        before = owner[where][key]
        try:
            owner[where][key] = node
            content = sealed(manifest, tensors)
        finally:
            owner[where][key] = before
        found = load(folder, content)
        assert found is None or hasattr(found, "get_params")

    attempt()


def _estimators(node: Any) -> Any:
    if isinstance(node, dict):
        if node.get("$") == "estimator":
            yield node
        for value in node.values():
            yield from _estimators(value)
    elif isinstance(node, list):
        for value in node:
            yield from _estimators(value)


@times(200)
@given(st.sampled_from(NAMES), st.sampled_from(["class", "backbone", "optimizer", "weights"]))
def test_names(folder: Path, models: dict[str, bytes], name: str, part: str) -> None:
    manifest, tensors = unpack(models["plain"])
    node = manifest["estimator"]
    if part == "class":
        node.pop("method", None)
        node["class"] = name
    else:
        node["params"][part] = {"$": "name", "path": name}
    found = load(folder, sealed(manifest, tensors))
    assert found is None or type(found).__module__.startswith(("fairvision", "sklearn"))


MEASURE = """
import resource, sys
import fairvision as fv
plain, *forged = sys.argv[1:]
fv.load(plain)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in forged:
    try:
        fv.load(path)
    except fv.exceptions.SavingError as error:
        print(str(error)[-60:])
    else:
        print("LOADED")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_a_forged_shape_takes_no_memory(tmp_path: Path, models: dict[str, bytes]) -> None:
    """What is made is as large as the file's own tensors, whatever else it states."""
    manifest, tensors = unpack(models["plain"])
    plain = tmp_path / "plain"
    plain.write_bytes(models["plain"])
    paths = []
    shapes = {"mlp": [3, 1000, 2000], "small-cnn": [3, 9000, 9000]}
    for backbone, shape in shapes.items():
        manifest["estimator"]["state"]["input_shape_"] = {"$": "tuple", "items": shape}
        manifest["estimator"]["params"]["backbone"] = backbone
        paths.append(tmp_path / backbone)
        paths[-1].write_bytes(sealed(manifest, tensors))
    command = [sys.executable, "-c", MEASURE, str(plain), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *said, grown = done.stdout.split("\n")[:-1]
    assert len(said) == 2
    assert "LOADED" not in said
    # MiB; made whole, each takes 1,500 and more. What torch imports for the drafts is most of it.
    assert float(grown) < 300
