"""The memory that the networks of rewards hold."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from raybilevel.rewards.builtin import Reward
from raybilevel.rewards.clip.encoder import ClipEncoder
from raybilevel.rewards.weighted_sum import WeightedSum

if TYPE_CHECKING:
    from torch import nn

_OURS = "raybilevel.rewards."


def memory_of(*rewards: Reward) -> int | None:
    """Bytes of the parameters and buffers of rewards' networks, each network counted once.

    Networks that are not read yet are read now.

    Returns
    -------
    None where one of the rewards is a function or object of somebody else, which may hold anything.
    """
    networks: dict[int, nn.Module] = {}
    for reward in rewards:
        found = _networks(reward)
        if found is None:
            return None
        networks.update({id(network): network for network in found})
    tensors = {id(t): t for network in networks.values() for t in _tensors(network)}
    return sum(t.nbytes for t in tensors.values())


def _networks(reward: Reward) -> list[nn.Module] | None:
    from torch import nn

    if isinstance(reward, nn.Module):
        return [reward]
    if isinstance(reward, WeightedSum):
        parts = [_networks(term.reward) for term in reward.terms]
        return None if None in parts else [n for part in parts if part for n in part]
    if not inspect.isfunction(reward) or not reward.__module__.startswith(_OURS):
        return None
    held = [cell.cell_contents for cell in reward.__closure__ or ()]  # where ours keep networks
    networks = [thing.network if isinstance(thing, ClipEncoder) else thing for thing in held]
    return [network for network in networks if isinstance(network, nn.Module)]


def _tensors(network: nn.Module) -> Iterator[Any]:
    yield from network.parameters()
    yield from network.buffers()
