"""Loading without progress bars, of which one a worker and part helps nobody, and no advice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_bars() -> Iterator[None]:
    """No bars of diffusers, nor of transformers where it is there, while the context lasts."""
    import diffusers

    loggers = [diffusers.utils.logging]
    if diffusers.utils.is_transformers_available():
        import transformers

        loggers.append(transformers.utils.logging)
    shown = [logger for logger in loggers if logger.is_progress_bar_enabled()]
    for logger in shown:
        logger.disable_progress_bar()
    try:
        yield
    finally:
        for logger in shown:
            logger.enable_progress_bar()


@contextmanager
def without_advice() -> Iterator[None]:
    """No words of transformers on what it would rather have installed, while it is imported."""
    import diffusers

    if not diffusers.utils.is_transformers_available():
        yield
        return
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
