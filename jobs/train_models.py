"""Train the models that come along, and their judges, anew; and examine mnist-sd.

    python jobs/train_models.py digits build/models
    python jobs/train_models.py mnist-sd build/models     (mnist-sd needs raybilevel[text,data])
    python jobs/train_models.py judges build/models
    python jobs/train_models.py examine

Each compares its bits with the package's, which depend on the kind of CPU, the threads and the
versions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from raybilevel.data import Dataset, load
from raybilevel.lower.pretrained import pretrained
from raybilevel.rewards import digits_classifier

PACKAGED_JUDGES = Path(digits_classifier.__file__).parent / "judges"

app = typer.Typer(add_completion=False)
Output = Annotated[Path, typer.Argument(help="Folder to write to.")]
Threads = Annotated[int, typer.Option(min=1, help="Torch's threads.")]


@app.command()
def digits(output: Output, threads: Threads = 2) -> None:
    """The 8 x 8 digits model and its judges: three minutes."""
    from digits.judges import fit_proxy, train_classifier

    from raybilevel.lower.training.pretrain import pretrain

    output.mkdir(parents=True, exist_ok=True)
    with _threads(threads):
        pretrain(output / "digits", load("digits").images[:], steps=1800)
        train_classifier(output / "digits-classifier.safetensors")
        fit_proxy(output / "digits-proxy.safetensors")
    _compare(output / "digits", pretrained("digits"))
    for name in ("digits-classifier", "digits-proxy"):
        _compare(output / f"{name}.safetensors", PACKAGED_JUDGES / f"{name}.safetensors")


@app.command()
def mnist_sd(output: Output, threads: Threads = 1) -> None:
    """The text-to-image model of 32 x 32 digits: half an hour on one core."""
    from mnist_sd.folds import folds
    from mnist_sd.training import train

    with _threads(threads):
        pipeline = train(folds().model)
    pipeline.save_pretrained(output / "mnist-sd", safe_serialization=True)
    _compare(output / "mnist-sd", pretrained("mnist-sd"))


@app.command()
def judges(output: Output, threads: Threads = 1) -> None:
    """The three judges of 32 x 32 digits, and what they know: four minutes on one core."""
    from mnist_sd.folds import folds
    from mnist_sd.judges import fit_proxy, train_judge
    from safetensors.torch import save_file

    output.mkdir(parents=True, exist_ok=True)
    seen = folds()
    with _threads(threads):
        trained = {
            "mnist": train_judge(seen.judge, seed=1),
            "mnist-held-out": train_judge(seen.held_out, seed=2),
            "mnist-proxy": fit_proxy(seen.judge),
        }
    for name, judge in trained.items():
        weights = {key: value.contiguous() for key, value in judge.state_dict().items()}
        save_file(weights, output / f"{name}.safetensors")
        _compare(output / f"{name}.safetensors", PACKAGED_JUDGES / f"{name}.safetensors")


@app.command()
def examine(
    count: Annotated[int, typer.Option(min=10, help="Samples.")] = 400,
    pairs: Annotated[int, typer.Option(min=10, help="Pairs for each two words.")] = 100,
    seed: Annotated[int, typer.Option(help="Of prompts and samples.")] = 20_000,
) -> None:
    """What the judges know, and whether mnist-sd draws what it is asked for."""
    from mnist_sd.folds import folds

    for fold in ("model", "judge", "held_out"):
        _examine_judges(fold, getattr(folds(), fold), seed)
    _examine_model(count, pairs, seed)


def _examine_judges(fold: str, data: Dataset, seed: int) -> None:
    from mnist_sd.judges import accuracy
    from mnist_sd.pictures import centred, redrawn

    from raybilevel.rewards.mnist_classifier import CLASSIFIERS, mnist_classifier

    again = redrawn(data.images[:], data.labels, 1, seed)
    for name in CLASSIFIERS:
        judge = mnist_classifier(name)
        written = accuracy(judge, centred(data.images[:]), data.labels)
        share = accuracy(judge, again.images, again.labels)
        print(f"{name} knows of the fold {fold} {written:.3f} as written, {share:.3f} redrawn")


def _examine_model(count: int, pairs: int, seed: int) -> None:
    from diffusers import DiffusionPipeline
    from mnist_sd import examination
    from mnist_sd.judges import accuracy

    from raybilevel.rewards.mnist_classifier import CLASSIFIERS, mnist_classifier

    pipeline = DiffusionPipeline.from_pretrained(pretrained("mnist-sd"))
    pipeline.set_progress_bar_config(disable=True)
    print(f"mnist-sd, {examination.STEPS} steps, guidance {examination.GUIDANCE}:")
    images, asked = examination.drawn_as_asked(pipeline, count, seed)
    for name in CLASSIFIERS:
        share = accuracy(mnist_classifier(name), images, asked)
        print(f"the digit asked for, by {name}: {share:.3f} of {count}")
    for words, share in examination.shares_in_order(pipeline, pairs, seed + 1):
        print(f"'{words}' in the order asked for: {share:.3f} of {pairs} pairs")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compare(made: Path, packaged: Path) -> None:
    """Say whether a file or folder has the same bytes as the package's."""
    files = [made] if made.is_file() else sorted(p for p in made.rglob("*") if p.is_file())
    others = [packaged / file.relative_to(made) if made.is_dir() else packaged for file in files]
    pairs = zip(files, others, strict=True)
    other = [a.name for a, b in pairs if not b.is_file() or a.read_bytes() != b.read_bytes()]
    size = sum(file.stat().st_size for file in files)
    said = "the same bits as the package's" if not other else f"other bits in {', '.join(other)}"
    print(f"{made}: {size} bytes, {said}")


if __name__ == "__main__":
    app()
