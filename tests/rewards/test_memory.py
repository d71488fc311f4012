import torch

from raybilevel.rewards import load_reward, memory_of
from raybilevel.rewards.digits_classifier import digits_classifier

HERE = "lower_reward"


def test_memory_is_that_of_parameters_and_buffers():
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2, dtype=torch.half))
    assert memory_of(network) == 4 * (6 + 2) + 2 * (2 + 2 + 2 + 2) + 8


def test_built_ins_hold_their_networks_and_a_sum_those_of_its_terms():
    judge = sum(p.nbytes for p in digits_classifier().parameters())
    proxy = 4 * (64 * 10 + 10)
    assert memory_of(load_reward("ink + jpeg_size(80)", HERE)) == 0
    assert memory_of(load_reward("realism", HERE)) == judge
    assert memory_of(load_reward("proxy_logit(3) - 0.1 * legibility", HERE)) == judge + proxy


def test_a_network_that_is_asked_for_twice_counts_once():
    network = torch.nn.Linear(3, 2)
    assert memory_of(network, network) == memory_of(network)


def test_what_somebody_elses_function_holds_is_not_known():
    assert memory_of(lambda images: images) is None
    assert memory_of(load_reward("ink", HERE), lambda images: images) is None
