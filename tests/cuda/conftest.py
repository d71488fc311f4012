"""Tests that need a GPU. CI has none: run them where there is one, `pytest -n 0 tests/cuda`."""

import pytest
import torch
from accelerate.state import AcceleratorState


def pytest_collection_modifyitems(items):
    """Leave this folder out where there is no GPU."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.path.parent.name == "cuda":
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture
def forget():
    """Lets this process, which accelerate gives one device for good, go on to another one."""
    yield _forget
    _forget()


@pytest.fixture
def all_bits(monkeypatch):
    """Convolutions in float32 throughout, where torch's default rounds to TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def _forget():
    AcceleratorState._reset_state(reset_partial_state=True)
