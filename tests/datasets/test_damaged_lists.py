"""Lists with any damage: refused by one error, or what is left of them is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairvision.datasets import load
from fairvision.exceptions import DatasetError

LISTS = {
    "list_attr_celeba.txt": ("celeba", {}),
    "list_eval_partition.txt": ("celeba", {}),
    "list_attr_celeba.csv": ("celeba", {"form": "csv"}),
    "fairface_label_val.csv": ("fairface", {}),
    "lfw_attributes.txt": ("lfw", {}),
    "PPB-2017-metadata.csv": ("ppb", {}),
}
PIECES = [
    b"", b"\n", b"\r", b",", b"\t", b" ", b'"', b"\xff", b"\0", b"-1", b"1e400", b"nan", b"../",
    b"#", b"<", b"9" * 30, b"\xef\xbb\xbf", b"\x1b[31m",
]  # fmt: skip
damages = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([0, 1, 3, 40]), st.sampled_from(PIECES)),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module", params=LISTS)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, makers: dict[str, Any]
) -> tuple[str, Path, bytes]:
    """The name of a set, one of its lists, and what is in it."""
    name, how = LISTS[request.param]
    root = makers[name](tmp_path_factory.mktemp(name), **how)
    return name, root / request.param, (root / request.param).read_bytes()


@settings(max_examples=60)
@given(damages=damages)
def test_any_damage(
    whole: tuple[str, Path, bytes], damages: list[tuple[float, int, bytes]]
) -> None:
    name, path, content = whole
    damaged = content
    for where, length, piece in damages:
        start = round(where * len(damaged))
        damaged = damaged[:start] + piece + damaged[start + length :]
    path.write_bytes(damaged)
    try:
        data = load(name, root=path.parent)
    except DatasetError:
        return
    assert len(data.images) == len(data.target) == len(data.sensitive_features)
    pairs = zip(data.images.paths, data.attributes["path"], strict=True)
    assert all(photo.endswith("/" + row) for photo, row in pairs)
