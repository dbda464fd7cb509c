"""The item is the truth: shortcuts to its target and its rows are checked, or not taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils import data as td
from torchvision.datasets import ImageFolder
from torchvision.transforms import PILToTensor

from fairvision.datasets import from_torch
from fairvision.exceptions import DatasetError, InputError


class Listed(td.Dataset):
    """Items beside a list of targets that may be wrong."""

    def __init__(self, labels: Any, targets: Any, dtype: Any = torch.uint8) -> None:
        self.labels, self.targets, self.dtype = labels, targets, dtype
        self.n_read = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> Any:
        if not 0 <= row < len(self):
            raise IndexError(row)
        self.n_read += 1
        return torch.full((3, 8, 8), row % 256, dtype=self.dtype), self.labels[row]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for row, name in enumerate(["ash", "birch", "cedar"] * 2):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (row, row, row)).save(tmp_path / name / f"{row}.png")
    return tmp_path


def test_a_target_transform_is_applied(folder: Path) -> None:
    plain = ImageFolder(folder, PILToTensor())
    merged = ImageFolder(folder, PILToTensor(), target_transform=lambda label: min(label, 1))
    assert from_torch(plain).target.tolist() == [0, 0, 1, 1, 2, 2]
    assert from_torch(merged).target.tolist() == [0, 0, 1, 1, 1, 1]
    words = ImageFolder(folder, PILToTensor(), target_transform=lambda label: "abc"[label])
    assert from_torch(words).target.tolist() == list("aabbcc")


@pytest.mark.parametrize("change", ["reversed", "one rare label", "shorter", "text"])
def test_a_list_that_disagrees_with_the_items_is_not_taken(change: str) -> None:
    labels = [row % 5 for row in range(1000)]
    labels[777] = 9
    targets = {
        "reversed": labels[::-1],
        "one rare label": [0 if label == 9 else label for label in labels],
        "shorter": labels[:-1],
        "text": [str(label) for label in labels],
    }[change]
    if change == "one rare label":
        labels, targets = targets, labels
    assert from_torch(Listed(labels, targets)).target.tolist() == labels


def test_a_list_that_agrees_saves_reading_and_reaches_through_subsets() -> None:
    labels = [row % 5 for row in range(1000)]
    for targets in (labels, np.array(labels), torch.tensor(labels)):
        dataset = Listed(labels, targets)
        assert from_torch(dataset).target.tolist() == labels
        assert dataset.n_read < 100
        dataset.n_read = 0
        rows = list(range(999, 0, -2))
        assert from_torch(td.Subset(dataset, rows)).target.tolist() == [labels[r] for r in rows]
        assert dataset.n_read < 100


def test_a_loader_gives_the_rows_of_its_sampler() -> None:
    dataset = Listed([0, 1] * 6, None)
    whole = (
        td.DataLoader(dataset, 4),
        td.DataLoader(dataset, 4, shuffle=True),
        td.DataLoader(dataset, batch_size=None),
    )
    for loader in whole:
        assert from_torch(loader).images.shape == (12, 3, 8, 8)
    some = from_torch(td.DataLoader(dataset, 4, sampler=td.SubsetRandomSampler([7, 2, 3])))
    assert some.target.tolist() == [0, 1, 1]
    assert np.asarray(some.images)[:, 0, 0, 0].tolist() == [2, 3, 7]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"sampler": td.WeightedRandomSampler([1.0] * 12, 12)}, "WeightedRandomSampler"),
        ({"sampler": td.RandomSampler(range(12), replacement=True)}, "RandomSampler"),
        ({"sampler": td.RandomSampler(range(12), num_samples=5)}, "RandomSampler"),
        ({"batch_sampler": [[0, 1], [5]]}, "list"),
        ({"collate_fn": lambda items: items}, "<lambda>"),
    ],
)
def test_a_loader_with_a_way_of_its_own_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(DatasetError, match=word):
        from_torch(td.DataLoader(Listed([0, 1] * 6, None), **options))


def test_pictures_of_sixteen_bits_are_converted_as_files_are() -> None:
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) << 8
    images = from_torch([(Image.fromarray(ramp), 0)] * 2).images
    assert images.shape == (2, 1, 16, 16)
    assert (np.asarray(images)[0, 0] == ramp >> 8).all()
    with pytest.raises(DatasetError, match="pixel_max"):
        from_torch([(Image.fromarray(ramp >> 4), 0)] * 2)


def test_items_of_other_types_ranges_and_missing_labels_are_named() -> None:
    grey = torch.full((1, 8, 8), 0.5)
    with pytest.raises(DatasetError, match="Item 1 has an image of uint8"):
        np.asarray(from_torch([(grey, 0), ((grey * 255).to(torch.uint8), 1)]).images)
    with pytest.raises(InputError, match=r"127\.5"):
        np.asarray(from_torch([(grey, 0), (grey * 255, 1)]).images)
    with pytest.raises(InputError, match="1 missing"):
        from_torch([(grey, "a"), (grey, None)])
    with pytest.raises(InputError, match="one-hot"):
        from_torch([(grey, torch.tensor([0, 1])), (grey, torch.tensor([1, 0]))])
    with pytest.raises(DatasetError, match="3 rows, the data set 2"):
        from_torch([(grey, 0), (grey, 1)], sensitive_features=list("aab"))
