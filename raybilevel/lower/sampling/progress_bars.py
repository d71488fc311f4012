"""Loading without progress bars: one a worker and part helps nobody."""

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
