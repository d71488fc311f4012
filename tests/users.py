"""A directory as a user has it: a module of their own, and a configuration that names it."""

import textwrap

NAP = """
    import contextlib
    import os
    import time
    from pathlib import Path

    def nap(share=1.0):
        began = time.monotonic()
        with contextlib.suppress(FileNotFoundError):
            while time.monotonic() - began < share * float(Path("HERE/nap").read_text()):
                time.sleep(0.05)
"""

SIGN = """
    def sign():
        Path("pids").mkdir(exist_ok=True)
        Path(f"pids/{os.getpid()}").touch()
"""

MODULE = """
    import torch

    def model(seeds):
        sign()
        nap()
        draw = lambda seed: torch.randn(2, generator=torch.Generator().manual_seed(seed))
        return torch.stack([draw(seed) for seed in seeds])

    def lower(samples):
        return samples[:, 0]

    def upper(samples):
        return torch.exp(-((samples[:, 0] - 0.5) ** 2) / 2)
"""

CONFIG = """
    problem: reward
    model: {module}:model
    lower_reward: {module}:lower
    upper_reward: {module}:upper
    held_out_reward: {module}:lower
    lambda_: {{name: lambda, init: 3.0, low: 1.0, high: 20.0, scale: log}}
    pool_size: {size}
    max_pool_size: {size}
    shard_size: 128
    scaling: {{num_workers: 1}}
    run: {{name: mine, seed: 3}}
"""

DESCENT = """
    from dataclasses import replace
    from typing import ClassVar

    from raybilevel.config.settings import Settings
    from toys import Descent

    def patiently(shard):
        sign()
        nap()

    class Patient(Settings, Descent):
        rounds: int = 4
        shards: int = 4
        mishap: ClassVar = staticmethod(patiently)
        leaky: ClassVar = False

        def run_round(self, round_, state):
            update = yield from super().run_round(round_, state)
            return replace(update, metrics=update.metrics | {"upper_loss_se": 0.5})
"""

DESCENT_CONFIG = """
    problem: {module}:Patient
    scaling: {{num_workers: 1}}
    run: {{name: mine, seed: 3}}
"""


def settle(here, module, nap=0.0, size=2048):
    """Write `<module>.py` and `c.yaml`; each test names its module anew.

    Every batch takes `nap` seconds until `hurry(here)`.
    """
    config = textwrap.dedent(CONFIG).format(module=module, size=size)
    _settle(here, module, SIGN + MODULE, config, nap)


def settle_without_torch(here, module, nap=0.0):
    """The same with a problem whose processes start ten times as fast; every shard naps."""
    config = textwrap.dedent(DESCENT_CONFIG).format(module=module)
    _settle(here, module, SIGN + DESCENT, config, nap)


def _settle(here, module, code, config, nap):
    write_module(here, module, code)
    (here / "c.yaml").write_text(config)
    hurry(here)
    if nap:
        slow_down(here, nap)


def write_module(here, name, text):
    """A module of the user's that can `nap`: as long as `slow_down(here, ...)` says."""
    code = textwrap.dedent(NAP + text).replace("HERE", str(here))
    (here / f"{name}.py").write_text(code)


def slow_down(here, nap):
    """Naps are this long from now on, also those that have begun."""
    (here / "next").write_text(str(nap))
    (here / "next").rename(here / "nap")


def hurry(here):
    """End all naps."""
    (here / "nap").unlink(missing_ok=True)


def worker_pids(here):
    """Processes that drew samples."""
    return [int(path.name) for path in (here / "pids").iterdir()]
