from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from fairvision.exceptions import FairvisionWarning
from fairvision_jlu._algorithm import (
    FeatureMemory,
    confusion_excess,
    curvature,
    curvature_solver,
    decorrelating_weights,
    standardize,
)
from fairvision_jlu._graphs import HeadGraphs
from fairvision_jlu._heads import SpuriousHeads, inverses


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def heads(n_features: int = 4, n_values: tuple[int, ...] = (2,), **how) -> SpuriousHeads:
    known = {
        "solver": "newton", "steps": 50, "tol": 0.0, "lr": 0.1, "ridge": 1e-3, "memory": 1,
        "standardized": False,
    }  # fmt: skip
    made = SpuriousHeads(n_features, n_values, **(known | how))
    made.start(torch.zeros(1))
    return made


@pytest.mark.parametrize("k", [2, 3, 7])
def test_excess_is_zero_for_a_head_that_knows_nothing(k):
    assert confusion_excess(torch.full((5, k), 3.0), torch.ones(5)) == pytest.approx(0, abs=1e-6)


def test_excess_is_cross_entropy_to_the_uniform_label_less_log_k():
    logits, weights = torch.randn(6, 3), torch.rand(6)
    uniform = torch.full((6, 3), 1 / 3)
    per_row = F.cross_entropy(logits, uniform, reduction="none") - math.log(3)
    expected = (per_row * weights).sum() / weights.sum()
    assert confusion_excess(logits, weights).item() == pytest.approx(expected.item(), rel=1e-4)


def test_excess_of_rows_without_weight_is_zero():
    assert confusion_excess(torch.randn(4, 2), torch.zeros(4)) == 0


def test_weights_make_target_and_attribute_independent():
    targets = torch.randint(0, 3, (500,))
    attribute = (targets + (torch.rand(500) < 0.2).long()) % 2
    weights = decorrelating_weights(targets, attribute)
    table = torch.zeros(3, 2).double().index_put_((targets, attribute), weights, accumulate=True)
    shares = table / table.sum(1, keepdim=True)
    torch.testing.assert_close(shares, torch.full((3, 2), 0.5).double())
    torch.testing.assert_close(table.sum(1), torch.bincount(targets).double())


def test_a_row_of_weight_two_counts_as_two():
    targets, attribute = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 0, 1, 1])
    features, weights = torch.randn(5, 3), torch.tensor([1.0, 2, 1, 1, 2])
    twice = torch.arange(5).repeat_interleave(weights.long())
    torch.testing.assert_close(
        decorrelating_weights(targets, attribute, weights)[twice],
        decorrelating_weights(targets[twice], attribute[twice]),
    )
    torch.testing.assert_close(
        standardize(features, weights)[twice], standardize(features[twice]), atol=1e-5, rtol=1e-5
    )


def test_classes_with_one_value_of_the_attribute_are_left_out():
    targets, attribute = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 0, 0, 1, 1])
    torch.testing.assert_close(
        decorrelating_weights(targets, attribute), torch.tensor([0, 0, 1.5, 0.75, 0.75]).double()
    )


def test_perfect_confounding_leaves_nothing_to_weight():
    codes = torch.tensor([0, 1, 1])
    torch.testing.assert_close(decorrelating_weights(codes, codes), torch.ones(3).double())


def test_standardised_features_ignore_shift_and_scale():
    features = torch.randn(64, 5)
    torch.testing.assert_close(
        standardize(features * 30 + 7), standardize(features), atol=1e-4, rtol=1e-4
    )


def test_standardising_a_constant_feature_gives_zero_and_finite_gradient():
    features = torch.ones(8, 2, requires_grad=True)
    standardize(features).square().sum().backward()
    assert torch.isfinite(features.grad).all()
    assert not standardize(features).any()


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_solver_divides_by_the_curvature_bound(shape):
    inputs = torch.randn(*shape).double()
    weights = torch.rand(shape[0]).double()
    weights /= weights.sum()
    gradient = torch.randn(shape[1], 3).double()
    bound = 0.5 * inputs.T @ (weights[:, None] * inputs) + 0.1 * torch.eye(shape[1]).double()
    scaled, gram = curvature(inputs, weights, 0.1)
    solved = curvature_solver(scaled, 0.1, inverses([gram])[0].matmul)(gradient)
    torch.testing.assert_close(bound @ solved, gradient)


@pytest.mark.parametrize("k", [2, 5])
def test_newton_reaches_the_optimum_of_a_softmax_regression(k):
    from sklearn.linear_model import LogisticRegression

    inputs, groups = torch.randn(300, 4), torch.randint(0, k, (300, 1))
    inputs[:, 0] += groups[:, 0]
    made = heads(n_values=(k,), steps=600, ridge=1e-5)
    loss, _ = made.fit(inputs, groups, torch.ones(300, 1))
    # An almost unpenalised reference; our small ridge costs a little.
    best = LogisticRegression(C=1e4).fit(inputs, groups[:, 0]).predict_proba(inputs)
    expected = -torch.from_numpy(best).log().gather(1, groups).mean().item()
    assert loss == pytest.approx(expected, abs=5e-3)
    assert loss >= expected - 1e-6


def test_newton_never_raises_the_loss():
    inputs, groups = torch.randn(50, 4) * 5, torch.randint(0, 3, (50, 1))
    made = heads(n_values=(3,), steps=1, ridge=1e-4)
    losses = [made.fit(inputs, groups, torch.ones(50, 1))[0] for _ in range(30)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("tol", [0.0, 0.01, 0.3])
def test_steps_without_a_look_at_the_loss_are_the_same(tol):
    inputs, groups = torch.randn(40, 6), torch.stack([torch.arange(40) % k for k in (2, 3)], 1)
    inputs[:, 0] += groups[:, 0]
    weights = torch.rand(40, 2)
    made = [heads(6, (2, 3), steps=8, tol=tol, ridge=0.01) for _ in range(2)]
    made[1].modules.load_state_dict(made[0].modules.state_dict())
    loss, steps = made[0].fit(inputs, groups, weights)
    system = made[1].system(inputs, weights)
    masked = made[1].newton(system, groups, inverses(system.grams))
    assert [value.item() for value in masked] == [pytest.approx(loss, rel=1e-5), steps]
    for one, other in zip(made[0].linears, made[1].linears, strict=True):
        torch.testing.assert_close(one.weight, other.weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize("row_weights", [None, torch.linspace(0.1, 1, 40)])
def test_in_two_graphs_the_heads_learn_the_same(monkeypatch, standardized, row_weights):
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda function, sample: function)
    features, groups, weights = torch.randn(40, 6), torch.arange(40)[:, None] % 2, torch.ones(40, 1)
    made = [heads(6, steps=4, ridge=0.01, standardized=standardized) for _ in range(2)]
    made[1].modules.load_state_dict(made[0].modules.state_dict())
    graphs, results = HeadGraphs(made[1]), []
    for learn in (made[0].learn, graphs.learn):
        leaf = features.clone().requires_grad_()
        excess, loss, steps = learn(leaf, groups, weights, row_weights)
        excess.backward()
        results.append((excess.item(), float(loss), float(steps), leaf.grad))
    assert graphs.works
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)


def test_without_graphs_it_warns_and_learns_all_the_same(monkeypatch):
    def fail(*_):
        raise RuntimeError("not permitted")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    made = heads()
    before = made.linears[0].weight.clone()
    graphs, row = HeadGraphs(made), (torch.randn(8, 4), torch.arange(8)[:, None] % 2)
    with pytest.warns(FairvisionWarning, match="without CUDA graphs, and so more slowly: not"):
        graphs.learn(*row, torch.ones(8, 1), None)
    graphs.learn(*row, torch.ones(8, 1), None)
    assert not torch.equal(made.linears[0].weight, before)


@pytest.mark.parametrize("solver", ["newton", "adam"])
def test_inner_loop_stops_when_the_head_stops_improving(solver):
    inputs, groups, weights = torch.randn(64, 4), torch.randint(0, 2, (64, 1)), torch.ones(64, 1)
    made = heads(solver=solver, steps=500, tol=1e-3)
    _, first = made.fit(inputs, groups, weights)
    _, second = made.fit(inputs, groups, weights)
    assert 2 <= second <= first < 500
    assert heads(solver=solver, steps=3).fit(inputs, groups, weights)[1] == 3


@pytest.mark.parametrize("solver", ["newton", "adam"])
def test_heads_learn_from_a_fit_and_not_from_the_confusion(solver):
    inputs = torch.randn(32, 4, requires_grad=True)
    groups, weights = (inputs[:, :1] > 0).long(), torch.ones(32, 1)
    made = heads(solver=solver)
    made.fit(inputs, groups, weights)
    assert inputs.grad is None
    before = [p.clone() for p in made.modules.parameters()]
    excess = made.excess(inputs, weights)
    excess.backward()
    assert excess > 0
    assert inputs.grad.abs().sum() > 0
    for head, kept in zip(made.modules.parameters(), before, strict=True):
        torch.testing.assert_close(head, kept)


def test_several_attributes_add_up():
    inputs, weights = torch.randn(20, 4), torch.rand(20, 2)
    made = heads(n_values=(2, 3))
    each = [confusion_excess(h(inputs), weights[:, m]) for m, h in enumerate(made.modules)]
    torch.testing.assert_close(made.excess(inputs, weights), sum(each))


def test_memory_keeps_the_last_batches():
    memory = FeatureMemory(2)
    memory.add(torch.tensor([1]))
    memory.add(torch.tensor([2]))
    (kept,) = memory.add(torch.tensor([3, 4]))
    assert kept.tolist() == [2, 3, 4]
