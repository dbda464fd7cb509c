"""Small drawn faces, and a net trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    from fairvision.nn import TorchClassifier


@pytest.fixture(scope="session")
def faces() -> Bunch:
    from fairvision.datasets import load_faces

    return load_faces(300, 24, target="smiling", sensitive="skin_group", random_state=0)


@pytest.fixture(scope="session")
def groups(faces: Bunch) -> Any:
    return faces.sensitive_features["skin_group"].to_numpy(str)


@pytest.fixture(scope="session")
def net(faces: Bunch) -> TorchClassifier:
    from fairvision.nn import TorchClassifier

    model = TorchClassifier(max_epochs=4, random_state=0, device="cpu")
    return model.fit(faces.images, faces.target)


@pytest.fixture
def erm() -> TorchClassifier:
    from fairvision.nn import TorchClassifier

    return TorchClassifier(max_epochs=2, random_state=0, device="cpu")
