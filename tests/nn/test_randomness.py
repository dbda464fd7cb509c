"""Randomness comes from `random_state` alone, and the global generators are left alone."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import joblib
import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_predict
from skorch.callbacks import Callback
from torch import nn
from torchvision.transforms import v2

from fairvision.exceptions import InputError
from fairvision.nn import TorchClassifier, as_seed, isolated_rng, seeded_rng

pytestmark = pytest.mark.cpu


def probabilities(pictures, random_state):
    model = TorchClassifier(max_epochs=2, batch_size=16, random_state=random_state)
    return model.fit(pictures.images, pictures.target).predict_proba(pictures.images)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(pictures):
    expected = probabilities(pictures, 3)
    np.testing.assert_array_equal(probabilities(pictures, 3), expected)
    np.testing.assert_array_equal(probabilities(pictures, np.int64(3)), expected)
    assert (probabilities(pictures, 4) != expected).any()


def test_no_seed_is_a_new_one_each_time(pictures):
    assert (probabilities(pictures, None) != probabilities(pictures, None)).any()


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_a_generator_is_a_source_that_moves_on(pictures, kind):
    generator = kind(0)
    first, second = probabilities(pictures, generator), probabilities(pictures, generator)
    assert (first != second).any()
    np.testing.assert_array_equal(probabilities(pictures, kind(0)), first)


@pytest.mark.parametrize("bad", [-1, 2**32, 1.0, "seed", True])
def test_what_is_no_seed_is_named(bad):
    with pytest.raises(InputError, match=f"random_state is {bad!r}; pass an int"):
        as_seed(bad)


@pytest.fixture
def untouched():
    """Check that a test neither reads nor moves a global generator."""

    def state():
        key, position = np.random.get_state()[1:3]  # noqa: NPY002
        return key.tolist(), position, random.getstate(), torch.get_rng_state().tolist()

    before = state()
    yield
    assert state() == before


class Failing(Callback):
    def on_epoch_end(self, net, **kwargs):
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
        raise RuntimeError("a callback fails")


@pytest.mark.usefixtures("untouched")
class TestGlobalGenerators:
    @pytest.mark.parametrize("random_state", [0, None])
    def test_fit_predict_and_transform_leave_them_alone(self, pictures, random_state):
        model = TorchClassifier(
            max_epochs=1,
            validation_fraction=0.25,
            train_transform=v2.RandomHorizontalFlip(),
            random_state=random_state,
        ).fit(pictures.images, pictures.target)
        model.predict(pictures.images)
        model.predict_proba(pictures.images)
        model.transform(pictures.images)
        TorchClassifier.from_module(model.module_, classes=[0, 1]).predict(pictures.images)

    def test_so_does_a_fit_that_fails_on_the_way(self, pictures):
        model = TorchClassifier("mlp", callbacks=[Failing()], random_state=0)
        with pytest.raises(RuntimeError, match="a callback fails"):
            model.fit(pictures.images, pictures.target)

    def test_a_block_sees_its_seed_and_puts_everything_back(self):
        def draw():
            return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002

        with isolated_rng(5):
            first = draw()
        with isolated_rng(5):
            second = draw()
        assert first == second

    def test_blocks_of_two_threads_that_overlap_put_everything_back(self):
        """The first to enter leaves first: the second found what the first had set."""

        def state():
            cudnn = torch.backends.cudnn
            settings = cudnn.benchmark, cudnn.deterministic, torch.get_deterministic_debug_mode()
            return settings, random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

        before, torch_before = state(), torch.get_rng_state()
        first_inside, second_inside = Event(), Event()

        def first():
            with seeded_rng(0):
                first_inside.set()
                assert second_inside.wait(60)

        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(first)
            assert first_inside.wait(60)
            with seeded_rng(1):
                second_inside.set()
                running.result()
        assert state() == before
        assert torch.equal(torch.get_rng_state(), torch_before)

    def test_fits_in_threads_give_the_bits_of_serial_ones(self, pictures):
        """Dropout draws in every step, and a failing fit must not keep the others out."""

        def fit(seed: int):
            model = TorchClassifier(
                nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.Dropout(0.5)),
                max_epochs=3,
                batch_size=8,
                train_transform=v2.RandomHorizontalFlip(),
                callbacks=[Failing()] if seed == 2 else None,
                random_state=seed,
            )
            try:
                return model.fit(pictures.images, pictures.target).predict_proba(pictures.images)
            except RuntimeError as error:
                return str(error)

        serial = [fit(seed) for seed in range(6)]
        with ThreadPoolExecutor(6) as threads:
            concurrent = list(threads.map(fit, range(6)))
        assert serial[2] == "a callback fails"
        for ours, expected in zip(concurrent, serial, strict=True):
            np.testing.assert_array_equal(ours, expected)

    def test_cross_val_predict_in_threads_gives_the_bits_of_a_serial_one(self, pictures):
        model = TorchClassifier(max_epochs=1, batch_size=8, random_state=0)
        data = (model, pictures.images, pictures.target)
        serial = cross_val_predict(*data, cv=3, method="predict_proba")
        with joblib.parallel_backend("threading"):
            concurrent = cross_val_predict(*data, cv=3, method="predict_proba", n_jobs=3)
        np.testing.assert_array_equal(concurrent, serial)

    def test_predict_waits_for_no_fit(self, pictures):
        """It draws nothing, so that a server can predict while it trains."""
        model = TorchClassifier(max_epochs=1, random_state=0)
        model.fit(pictures.images, pictures.target)
        inside, done = Event(), Event()

        def hold():
            with isolated_rng(0):
                inside.set()
                return done.wait(60)

        with ThreadPoolExecutor(1) as thread:
            held = thread.submit(hold)
            inside.wait(60)
            model.predict(pictures.images)
            done.set()
            assert held.result()


def test_what_was_drawn_before_does_not_matter(pictures):
    expected = probabilities(pictures, 0)
    with isolated_rng(99):
        np.testing.assert_array_equal(probabilities(pictures, 0), expected)
