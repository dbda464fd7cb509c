"""The paper's equations in limiting cases, against plain arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl
from torch.utils._python_dispatch import TorchDispatchMode

from fairvision_dbvae import LatentDensities
from fairvision_dbvae._algorithm import (
    effective_sample_size,
    kl_divergence,
    reparameterize,
    sampling_probabilities,
    spread,
    systematic_draw,
)


@pytest.fixture
def mu() -> torch.Tensor:
    return torch.randn(500, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        yield


def test_kl_is_torchs(mu: torch.Tensor) -> None:
    log_var = mu.flip(1)
    expected = torch_kl(Normal(mu, (0.5 * log_var).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_divergence(mu, log_var), expected)


def test_reparameterised_draws_have_the_mean_and_variance_asked_for() -> None:
    mu = torch.tensor([[1.0, -2.0]]).expand(200_000, -1)
    z = reparameterize(mu, torch.tensor([0.0, 2.0]).expand(200_000, -1))
    torch.testing.assert_close(z.mean(0), mu[0], atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), torch.tensor([1.0, np.e**2]), atol=0.0, rtol=0.02)


def test_histograms_are_numpys(mu: torch.Tensor) -> None:
    densities = LatentDensities.fit(mu.double(), 10)
    for i, column in enumerate(mu.double().numpy().T):
        counts, edges = np.histogram(column, bins=10)
        np.testing.assert_allclose(densities.probabilities[i], counts / 500)
        np.testing.assert_allclose(densities.edges[i], edges, atol=1e-12)


def test_outer_bins_are_open(mu: torch.Tensor) -> None:
    densities = LatentDensities.fit(mu, 10)
    beyond = torch.tensor([[-1e3], [1e3]]).expand(2, 6)
    assert [densities.bins(beyond, 2).tolist()] == [[0, 9]]


def test_probabilities_do_not_depend_on_a_latents_scale(mu: torch.Tensor) -> None:
    scaled = mu * torch.tensor([1e-3, 1.0, 1e3, 4.0, 0.25, 2.0]) + 1
    ours, theirs = (
        sampling_probabilities(m.double(), LatentDensities.fit(m.double(), 10), 0.01)
        for m in (mu, scaled)
    )
    # A value within a rounding error of an edge may change its bin.
    assert (torch.isclose(ours, theirs, rtol=1e-6)).double().mean() > 0.98


def test_a_weight_counts_as_that_many_images(mu: torch.Tensor) -> None:
    times = torch.arange(500) % 3 + 1
    weighted = LatentDensities.fit(mu, 8, times)
    repeated = LatentDensities.fit(mu.repeat_interleave(times, 0), 8)
    torch.testing.assert_close(weighted.probabilities, repeated.probabilities)


@pytest.mark.parametrize("aggregate", ["product", "max"])
def test_large_alpha_samples_uniformly(mu: torch.Tensor, aggregate: str) -> None:
    densities = LatentDensities.fit(mu, 10)
    uniform = torch.full((500,), 1 / 500, dtype=torch.float64)
    at_1e9 = sampling_probabilities(mu, densities, 1e9, aggregate)
    torch.testing.assert_close(at_1e9, uniform, rtol=1e-6, atol=0)
    assert torch.equal(sampling_probabilities(mu, densities, torch.inf, aggregate), uniform)


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.5, 1.0, 1.5, 100.0])
def test_a_rare_mode_is_drawn_in_proportion_to_its_rarity(alpha: float) -> None:
    mode = torch.tensor([0.0] * 95 + [1.0] * 5)
    densities = LatentDensities.fit(mode[:, None], 10)
    w = sampling_probabilities(mode[:, None], densities, alpha)
    assert float(w[-1] / w[0]) == pytest.approx((0.95 + alpha) / (0.05 + alpha))
    assert float(w.sum()) == pytest.approx(1)


@pytest.mark.parametrize("alpha", [0.01, 2.0])
def test_product_and_max_are_the_plain_formulas(mu: torch.Tensor, alpha: float) -> None:
    densities = LatentDensities.fit(mu, 10)
    q = np.stack(
        [densities.probabilities[i].numpy()[densities.bins(mu, i)] for i in range(6)], axis=1
    )
    product, one_by_one = np.prod(1 / (q + alpha), axis=1), 1 / (q + alpha)
    largest = (one_by_one / one_by_one.sum(0)).max(1)
    for name, expected in (("product", product), ("max", largest)):
        w = sampling_probabilities(mu, densities, alpha, name)
        np.testing.assert_allclose(w, expected / expected.sum(), rtol=1e-9)


def test_a_product_over_a_thousand_latents_stays_finite() -> None:
    mu = torch.randn(300, 1000)
    w = sampling_probabilities(mu, LatentDensities.fit(mu, 10), 0.0)
    assert torch.isfinite(w).all()
    assert float(w.sum()) == pytest.approx(1)


class Largest(TorchDispatchMode):
    """Remember the most bytes that an operation's result took."""

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(made, torch.Tensor) and not func.is_view:
                self.n_bytes = max(self.n_bytes, made.numel() * made.element_size())
        return result


@pytest.mark.parametrize("n_latents", [5, 100])
def test_memory_beside_mu_does_not_grow_with_the_latents(n_latents: int) -> None:
    mu = torch.randn(5000, n_latents)
    with Largest() as largest:
        densities = LatentDensities.fit(mu, 10, torch.ones(5000))
        sampling_probabilities(mu, densities, 0.01, min_effective=0.25)
    assert largest.n_bytes == 5000 * 8


def test_a_latent_that_says_nothing_changes_nothing(mu: torch.Tensor) -> None:
    mute = torch.cat([mu, torch.full((500, 1), 3.0)], dim=1)
    ours = sampling_probabilities(mu, LatentDensities.fit(mu, 10), 0.01)
    theirs = sampling_probabilities(mute, LatentDensities.fit(mute, 10), 0.01)
    torch.testing.assert_close(ours, theirs)


def test_flattening_keeps_the_order_and_gives_the_size_asked_for(mu: torch.Tensor) -> None:
    densities = LatentDensities.fit(mu, 10)
    sharp = sampling_probabilities(mu, densities, 0.001)
    flat = sampling_probabilities(mu, densities, 0.001, min_effective=0.3)
    assert effective_sample_size(sharp) < 100
    assert effective_sample_size(flat) == pytest.approx(150, rel=1e-3)
    assert torch.equal(flat[sharp.argsort()], flat.sort().values)


def test_flattening_leaves_alone_what_is_flat_enough(mu: torch.Tensor) -> None:
    densities = LatentDensities.fit(mu, 10)
    same = sampling_probabilities(mu, densities, 2.0)
    assert effective_sample_size(same) > 250
    assert torch.equal(same, sampling_probabilities(mu, densities, 2.0, min_effective=0.5))


def test_effective_sample_size_of_equal_rows_is_their_number() -> None:
    w = torch.tensor([0.25] * 4 + [0.0] * 7, dtype=torch.float64)
    assert effective_sample_size(w) == pytest.approx(4)


def test_equal_probabilities_draw_a_permutation() -> None:
    drawn = systematic_draw(torch.full((997,), 1 / 997, dtype=torch.float64), 997)
    assert drawn.sort().values.tolist() == list(range(997))
    assert drawn.tolist() != list(range(997))


def test_draws_are_the_expected_counts_rounded() -> None:
    w = torch.rand(50, dtype=torch.float64)
    w[7] = 0
    w /= w.sum()
    counts = torch.bincount(systematic_draw(w, 2000), minlength=50)
    assert int(counts.sum()) == 2000
    assert float((counts - 2000 * w).abs().max()) <= 1
    assert counts[7] == 0


def test_drawn_often_enough_every_row_comes_in_its_share() -> None:
    w = torch.tensor([0.02, 0.08, 0.9], dtype=torch.float64)
    total = sum(torch.bincount(systematic_draw(w, 5), minlength=3) for _ in range(4000))
    np.testing.assert_allclose(total / total.sum(), w, atol=0.005)


def test_classes_are_spread_evenly() -> None:
    order = spread([torch.zeros(50), torch.ones(50), torch.full((100,), 2.0)])
    for some in order.split(20):
        assert torch.bincount(some.long()).tolist() == [5, 5, 10]
