"""What can go wrong, by who has to act: the user (`InputError`), or nobody (`RunError`)."""


class InputError(ValueError):
    """Bad input: one sentence that says what, where, and what would be right. Exit code 2."""


class UnguidableError(InputError):
    """Samples cannot be guided: by their pipeline, their rewards, or the memory. Exit code 2."""


class TooLargeError(UnguidableError):
    """Guided samples do not fit into the memory. Exit code 2."""


class StorageError(InputError):
    """The storage that the user named cannot hold what the run has to write. Exit code 2."""


class RunError(RuntimeError):
    """The run cannot go on; what is checkpointed stays. Exit code 1.

    Raised inside a shard it ends the run at once: running the shard again would fail the same way.
    """


class Starved(RunError):  # noqa: N818 - it waits for a cluster with more room
    """Fewer workers than the run must have, for longer than it may wait. Exit code 1."""


class Interrupted(RunError):  # noqa: N818 - nothing went wrong
    """Ctrl-C or SIGTERM ended the run. Exit code 1."""
