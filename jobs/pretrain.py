"""Pretrain a small model of any images and save it as a stock diffusers pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from raybilevel.data import load
from raybilevel.lower.training.pretrain import pretrain


def main(
    output: Annotated[Path, typer.Option(help="Directory to write the pipeline to.")],
    data: Annotated[str, typer.Option(help="Data set's name, or a path.")] = "digits",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of 128 images.")] = 1800,
    seed: Annotated[int, typer.Option(help="Of weights, batches and noise.")] = 0,
) -> None:
    losses = pretrain(output, load(data).images[:], steps=steps, seed=seed)
    last = losses[-100:]
    print(f"{output}: loss {sum(last) / len(last):.4f} over the last {len(last)} steps")


if __name__ == "__main__":
    typer.run(main)
