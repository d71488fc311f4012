"""Prompts made from what is measured on pictures: "a thin slanted seven, small, to the left"."""

from __future__ import annotations

import itertools

import numpy as np

from mnist_sd.pictures import Pictures
from raybilevel.rewards.asked_digit import DIGITS

STROKES = ("thin", "", "thick")
SLANTS = ("backslanted", "", "slanted")
SIZES = ("small", "", "large")
PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("to the left", "", "to the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)
_STROKE = (0.125, 0.19)  # of the height
_SLANT = (-0.1, 0.4)
_HEIGHT = (16.0, 21.0)  # in pixels
_PLACE = (-2.5, 2.5)
_SILENT = 0.15  # how often a prompt leaves out what it could say


def prompt(digit: int, stroke: str = "", slant: str = "", size: str = "", place: str = "") -> str:
    """Words that say it, those that are empty left out."""
    words = " ".join(filter(None, [stroke, slant, DIGITS[digit]]))
    article = "an" if words[0] == "e" else "a"
    return ", ".join(filter(None, [f"{article} {words}", size, place]))


def every_prompt() -> list[str]:
    """All that can be said: 2,430 prompts."""
    places = itertools.chain.from_iterable(PLACES)
    return [prompt(*said) for said in itertools.product(range(10), STROKES, SLANTS, SIZES, places)]


def prompts_of(pictures: Pictures, seed: int) -> list[str]:
    """A prompt for each picture, each time another part of what is to be seen."""
    generator = np.random.default_rng(seed)
    measures = (pictures.stroke, pictures.slant, pictures.height, pictures.down, pictures.right)
    ends = (_STROKE, _SLANT, _HEIGHT, _PLACE, _PLACE)
    classes = [np.digitize(m.numpy(), e) for m, e in zip(measures, ends, strict=True)]
    silent = generator.random((4, len(pictures.labels))) < _SILENT
    said = zip(pictures.labels.tolist(), *classes, *silent, strict=True)
    return [_prompt(*one) for one in said]


def _prompt(
    digit: int, stroke: int, slant: int, size: int, down: int, right: int, *silent: bool
) -> str:
    words = STROKES[stroke], SLANTS[slant], SIZES[size], PLACES[down][right]
    return prompt(digit, *("" if no else word for word, no in zip(words, silent, strict=True)))
