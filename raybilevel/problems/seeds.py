"""Seeds of samples: as many as are wanted, all different, decided by the run's seed."""

from __future__ import annotations

import numpy as np


def seed_base(seed: int) -> np.ndarray:
    """Where the run's seeds begin among all 32-bit numbers, as a state holds it: () int64."""
    word = np.random.SeedSequence([seed, 0x706F6F6C]).generate_state(1, np.uint32)[0]
    return np.array(word, dtype=np.int64)


def sample_seeds(base: np.ndarray, first: int, until: int) -> list[int]:
    """Seeds of the run's samples `first` to `until` (exclusive), in [0, 2**32), all different.

    torch's CPU generator keeps 32 bits of a seed, of which random ones would repeat among some ten
    thousand samples. So the seeds are consecutive numbers, mixed by a bijection of 32-bit words
    (the finaliser of MurmurHash3).
    """
    word = (np.arange(first, until, dtype=np.uint64) + np.uint64(base)).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        word ^= word >> np.uint32(shift)
        word *= np.uint32(factor)
    word ^= word >> np.uint32(16)
    return [int(w) for w in word]
