"""Each gate fails where it should, says so, and leaves the others alone."""

import math
from dataclasses import replace

import numpy as np
import pytest

from raybilevel.testing.prompted_oracles import PROMPTED_ORACLES
from raybilevel.upper.derivatives_within import estimate_within
from raybilevel.upper.diagnostics import examine
from raybilevel.upper.gates import Gates
from raybilevel.upper.penalty import Pool, estimate

ONE = np.array([1.0])
OPEN = Gates(min_ess=0.0, max_pareto_k=math.inf, max_share=1.0, samples_per_exp_kl=0.0)


def gaussian(n=20_000, seed=0):
    u = np.random.default_rng(seed).standard_normal(n)
    return Pool(-((u - 1) ** 2), u[:, None])


def look(pool, lambda_, gates, columns=(0,), gamma=math.inf):
    return examine(estimate(pool, lambda_, np.ones(pool.lower.shape[1]), gamma), columns, gates)


def test_an_easy_tilt_passes_every_gate():
    u = gaussian().lower
    found = look(Pool(u[:, 0], u), 2.0, Gates())
    assert found.ok and not found.failures
    assert 0 < found.pareto_k < 0.7
    assert found.ess == pytest.approx(20_000 * math.exp(-0.25), rel=0.05)
    assert found.kl == pytest.approx(0.125, rel=0.1)


@pytest.mark.parametrize(
    ("gate", "words", "quantity"),
    [
        ("min_ess", "ESS", "ess"),
        ("max_share", "carry the gradient's variance", "share"),
        ("max_pareto_k", "k-hat", "pareto_k"),
        ("samples_per_exp_kl", "exp(KL", "kl"),
    ],
)
def test_each_gate_fails_on_its_own_side_of_its_threshold(gate, words, quantity):
    pool = gaussian()
    seen = getattr(look(pool, 0.7, OPEN), quantity)
    threshold = pool.n / math.exp(seen) if quantity == "kl" else seen
    for factor in (0.99, 1.01):
        found = look(pool, 0.7, replace(OPEN, **{gate: factor * threshold}))
        at_most = gate.startswith("max")
        assert found.ok == ((factor > 1) if at_most else (factor < 1)), found
        assert all(words in failure for failure in found.failures)


def test_all_that_failed_is_told():
    found = look(
        gaussian(), 0.2, replace(OPEN, min_ess=400, max_share=0.02, samples_per_exp_kl=100)
    )
    assert len(found.failures) == 3
    assert math.isnan(found.pareto_k)  # a cheaper gate had failed


def test_a_discrete_pool_has_no_tail_and_passes_on_ess_and_share():
    u = np.random.default_rng(0).integers(0, 3, 5000).astype(float)
    found = look(Pool(-((u - 1) ** 2), u[:, None]), 1.0, Gates())
    assert math.isnan(found.pareto_k) and found.ok


@pytest.mark.parametrize(("events", "believed"), [(30, False), (80, True)])
def test_a_rare_event_needs_fifty_samples_to_be_believed(events, believed):
    u = np.zeros(5000)
    u[:events] = 1.0
    found = look(Pool(u, u[:, None]), 1.0, Gates())
    assert math.isnan(found.pareto_k) and found.ok == believed


def test_a_sample_that_holds_the_variance_is_noticed_though_weights_are_flat():
    pool = gaussian()
    pool.upper[0] = 1e4
    found = look(pool, 2.0, replace(OPEN, max_share=0.1))
    assert found.ess > 10_000 and found.share > 0.9 and not found.ok


def over_prompts(prompts, each, lambda_=2.0, gates=None):
    oracle = PROMPTED_ORACLES[1].chosen(np.random.default_rng(0), prompts)
    found = estimate_within(*oracle.draw(np.random.default_rng(1), each), lambda_, np.ones(1))
    return examine(found, [0], gates)


@pytest.mark.parametrize(
    ("gate", "words", "quantity"),
    [
        ("max_z_error", "a prompt's normalising constant is known to", "z_error"),
        ("max_correction", "the bias over prompts is", "correction"),
        ("max_bias_left", "over so many prompts of few samples a bias of", "bias_left"),
    ],
)
def test_over_prompts_each_gate_fails_on_its_own_side_of_its_threshold(gate, words, quantity):
    seen = getattr(over_prompts(20, 64, gates=OPEN), quantity)
    for factor in (0.99, 1.01):
        found = over_prompts(20, 64, gates=replace(OPEN, **{gate: factor * seen}))
        assert found.ok == (factor > 1)
        assert all(words in failure for failure in found.failures)


def test_the_error_of_a_normalising_constant_is_that_of_its_estimate():
    """At lambda 2 the relative variance of a mean of 64 weights is (exp(s^2 / 4) - 1) / 64."""
    spread = PROMPTED_ORACLES[1].chosen(np.random.default_rng(0), 200).spread
    expected = math.sqrt(np.mean(np.expm1(spread**2 / 4)) / 64)
    assert over_prompts(200, 64, gates=OPEN).z_error == pytest.approx(expected, rel=0.05)


def test_many_prompts_of_few_samples_are_believed_where_few_prompts_are_not():
    many, few = over_prompts(30, 64, 3.0), over_prompts(9, 64, 3.0)
    assert many.ok and not few.ok
    assert over_prompts(30, 64, 1.0).samples_needed > 2 * 30 * 64


def test_thousands_of_prompts_of_few_samples_are_refused():
    assert over_prompts(200, 32, 4.0).ok
    many = over_prompts(5000, 16, 4.0)
    assert "a bias of 1.66 standard errors may be left" in many.failures[-1]
    each = many.samples_needed / 5000
    assert 1.5 * math.sqrt(5000 * each) / each**2 == pytest.approx(0.3, rel=0.01)


def test_only_the_columns_asked_for_are_examined():
    rng = np.random.default_rng(0)
    lower = rng.standard_normal((20_000, 2))
    lower[0, 1] = 50.0
    pool = Pool(rng.standard_normal(20_000), lower)
    pool.upper[0] = 10.0
    gates = replace(OPEN, max_share=0.1)
    found = estimate(pool, 10.0, np.array([1.0, 0.0]))
    assert examine(found, [1], gates).ok
    assert not examine(found, [2], gates).ok


def test_samples_needed_is_where_the_size_gates_pass():
    small = look(gaussian(2000), 0.7, Gates(max_pareto_k=math.inf))
    assert not small.ok and small.samples_needed > 2000
    grown = look(gaussian(int(1.5 * small.samples_needed), 1), 0.7, Gates(max_pareto_k=math.inf))
    assert grown.ess > 400


def test_the_penalised_tilt_is_examined_too():
    pool = gaussian()
    mild, strong = look(pool, 2.0, OPEN, gamma=1e4), look(pool, 2.0, OPEN, gamma=0.05)
    assert strong.ess < mild.ess / 3
