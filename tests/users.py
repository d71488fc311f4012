"""A directory as a user has it: a module of their own, and a configuration that names it."""

import textwrap

NAP = """
    import contextlib
    import os
    import time
    from pathlib import Path

    import torch

    def nap(share=1.0):
        began = time.monotonic()
        with contextlib.suppress(FileNotFoundError):
            while time.monotonic() - began < share * float(Path("HERE/nap").read_text()):
                time.sleep(0.05)
"""

MODULE = """
    def model(seeds):
        Path("pids").mkdir(exist_ok=True)
        Path(f"pids/{os.getpid()}").touch()
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


def settle(here, module, nap=0.0, size=2048):
    """Write `<module>.py` and `c.yaml`; each test names its module anew.

    Every batch takes `nap` seconds until `hurry(here)`.
    """
    write_module(here, module, MODULE)
    (here / "c.yaml").write_text(textwrap.dedent(CONFIG).format(module=module, size=size))
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
