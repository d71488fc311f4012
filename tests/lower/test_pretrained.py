import json
from importlib.util import find_spec

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open

from raybilevel.errors import InputError
from raybilevel.lower.pretrained import PRETRAINED, pipeline_directory, pretrained
from raybilevel.lower.sampling.pipelines.description import describe

IN_PACKAGE = ("digits", "mnist-sd")
MOST_BYTES = 5_000_000


@pytest.mark.parametrize("name", IN_PACKAGE)
def test_a_model_of_the_package_is_there_at_once_and_leaves_no_cache(name, tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBILEVEL_CACHE", str(tmp_path / "cache"))
    assert (pretrained(name) / "model_index.json").is_file()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", IN_PACKAGE)
def test_a_model_of_the_package_is_small_and_in_safetensors(name):
    files = [path for path in pretrained(name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    weights = [path for path in files if path.suffix not in (".json", ".txt")]
    assert weights
    for path in weights:
        with safe_open(path, "pt") as tensors:
            assert {tensors.get_tensor(key).dtype for key in tensors.keys()} == {torch.float32}  # noqa: SIM118
    for path in files:
        assert path.suffix != ".json" or json.loads(path.read_text())


def test_stock_diffusers_draws_digits_from_the_package():
    pipeline = DiffusionPipeline.from_pretrained(pretrained("digits"))
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    images = pipeline(2, generator, num_inference_steps=10, output_type="np").images
    assert images.shape == (2, 8, 8, 1)
    assert images.max() > 0.8


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is installed")
def test_a_text_model_says_what_to_install_where_transformers_is_missing():
    with pytest.raises(InputError, match=r"StableDiffusionPipeline, which .*\[text\]'"):
        describe(pretrained("mnist-sd"))


def test_names_of_models_are_no_paths():
    assert pipeline_directory("digits") == pretrained("digits")
    assert pipeline_directory("some/where").as_posix() == "some/where"
    assert set(IN_PACKAGE) < set(PRETRAINED)
