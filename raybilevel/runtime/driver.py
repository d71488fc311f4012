"""The driver actor: plans, reduces, steps x, checkpoints. Owns no GPU and holds no model.

It begins from its `__init__`, from the last checkpoint if there is one, so that Ray can restart it
anywhere; and it is polled, never awaited, so that whoever watches it may come and go.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import ray

from raybilevel.errors import InputError, Interrupted, RunError, StorageError
from raybilevel.runtime.execution.worker_group import WorkerGroup
from raybilevel.runtime.process_state import ProcessState
from raybilevel.runtime.run_controller import RunController
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.run_status import Progress, RunStatus
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import FAILED, RunDirectory
from raybilevel.runtime.threads import fix_threads

NAMESPACE = "raybilevel"

_LINGER_S = 60.0  # seconds for which a detached driver that is done may be asked how it ended


@ray.remote(num_cpus=0, max_restarts=20, max_concurrency=4)
class Driver:
    """Runs one run, or one after the other, in a thread of its own.

    A driver of one run is given it when it begins, so that it needs nobody to begin again. One that
    is shared is told by `begin`; after a restart it has none, and is told again.

    Parameters
    ----------
    run : path of the run's directory; empty for a driver that is shared.
    pieces : of the run's spec.
    """

    def __init__(
        self, detached: bool, run: str, search_path: tuple[str, ...], *pieces: bytes
    ) -> None:
        fix_threads(1)
        self._detached = detached
        self._process = ProcessState()
        self._group = None if run else WorkerGroup()
        self._status, self._stop = RunStatus(), threading.Event()
        if run:
            self._start(run, Serialized(b"".join(pieces), search_path))

    def begin(self, run: str, spec: Serialized) -> bool:
        """Begin a run with the workers of the one before; False where a new driver is needed."""
        if self._status.run and not self._process.reset("cpu"):
            return False
        self._start(run, spec)
        return True

    def _start(self, run: str, spec: Serialized) -> None:
        self._status, self._stop = RunStatus(run), threading.Event()
        arguments = (spec, self._status, self._stop)
        threading.Thread(target=self._run, args=arguments, daemon=True).start()

    def end_workers(self) -> None:
        """Give the workers of the run before back to the cluster."""
        if self._group is not None:
            self._group.close()

    def poll(self, after: int = 0) -> Progress:
        """How the run stands, with the history's rows after round `after`."""
        return self._status.progress(after)

    def stop(self) -> None:
        """Stop at once; the last checkpoint stays."""
        self._stop.set()

    def _run(self, serialized: Serialized, status: RunStatus, stop: threading.Event) -> None:
        try:
            spec: RunSpec = serialized.load()  # here, where what goes wrong can be told
            restarted = ray.get_runtime_context().was_current_actor_reconstructed
            patience = spec.run.storage_timeout_s if restarted else 0.0
            with self._recording_failure(spec):
                RunController(spec, status, stop, patience, self._group).run()
        except Exception as error:  # whatever ended the run, whoever polls is to tell it
            status.error = _portable(error)
            status.details = traceback.format_exc()
        status.finished = True
        if self._detached:
            self._exit()

    @contextmanager
    def _recording_failure(self, spec: RunSpec) -> Iterator[None]:
        """Write what ended a detached run to its directory, where it is looked for later."""
        try:
            yield
        except Exception as error:
            if self._detached and not isinstance(error, Interrupted):
                words = f"{error}\n\n{traceback.format_exc()}"
                with suppress(StorageError):
                    RunDirectory(spec.run.storage_path, spec.name).write(FAILED, words.encode())
            raise

    def _exit(self) -> None:
        """Make room on the cluster where nobody asks how the run ended."""
        time.sleep(_LINGER_S)
        ray.kill(ray.get_runtime_context().current_actor)


def _portable(error: Exception) -> Exception:
    """The error as a class that every process can unpickle."""
    if isinstance(error, (InputError, RunError)):
        return error.with_traceback(None)
    return RunError(f"the driver failed with {type(error).__name__}: {error}")
