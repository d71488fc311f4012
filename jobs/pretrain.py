"""Pretrain the small digits model and save it as a stock diffusers pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from raybilevel.lower.pretrain import pretrain


def main(
    output: Annotated[Path, typer.Option(help="Directory to write the pipeline to.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of 128 images.")] = 1800,
    seed: Annotated[int, typer.Option(help="Of weights, batches and noise.")] = 0,
) -> None:
    losses = pretrain(output, steps=steps, seed=seed)
    last = losses[-100:]
    print(f"{output}: loss {sum(last) / len(last):.4f} over the last {len(last)} steps")


if __name__ == "__main__":
    typer.run(main)
