"""A real `ray start --head` on this machine: dashboard on loopback, a token, ports of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_STARTS = 240.0  # seconds for a head to come up, or a job to get somewhere
_PAUSE = 0.3
_RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Head:
    """A cluster of one node that jobs are submitted to.

    Parameters
    ----------
    folder : for Ray's own files; short, as sockets are below it.
    cpus : how many it says it has.
    variables : environment variables of all that runs on it.
    """

    def __init__(self, folder: Path, cpus: int, variables: dict[str, str]) -> None:
        self._folder = folder
        gcs, dashboard, client, agent = free_ports(4)
        self.token = secrets.token_hex(32)
        self.dashboard = f"http://127.0.0.1:{dashboard}"
        self.environment = {
            **os.environ, **variables, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token,
            "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": "",
        }  # fmt: skip
        options = {
            "--port": gcs, "--dashboard-host": "127.0.0.1", "--dashboard-port": dashboard,
            "--ray-client-server-port": client, "--dashboard-agent-listen-port": agent,
            "--temp-dir": folder, "--num-cpus": cpus, "--resources": '{"raybilevel_driver": 1}',
        }  # fmt: skip
        words = [str(word) for option in options.items() for word in option]
        with (folder / "head.log").open("w") as log:
            self._process = subprocess.Popen(
                [*_RAY, "start", "--head", "--block", "--disable-usage-stats", *words],
                env=self.environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.gcs = f"{self._own_address()}:{gcs}"

    def _own_address(self) -> str:
        """Wait for the head; Ray puts the machine's own address for a loopback one."""
        from ray._private.services import get_node_ip_address

        self.wait(self._answers)
        return str(get_node_ip_address())

    def _answers(self) -> bool:
        try:
            self._client.list_jobs()
        except (ConnectionError, RuntimeError):  # nobody listens, or not yet for jobs
            return False
        return True

    def wait(self, so_far: Callable[[], bool], seconds: float = _STARTS) -> None:
        """Wait until something is so."""
        until = time.monotonic() + seconds
        while not so_far():
            assert time.monotonic() < until, f"not so after {seconds} s: {self._log()}"
            assert self._process.poll() is None, f"the head ended: {self._log()}"
            time.sleep(_PAUSE)

    def _log(self) -> str:
        return (self._folder / "head.log").read_text()[-2000:]

    def ray(
        self, *words: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """The `ray` command, told where the dashboard is."""
        environment = {**self.environment, "RAY_API_SERVER_ADDRESS": self.dashboard, **variables}
        return subprocess.run(
            [*_RAY, *words], env=environment, capture_output=True, text=True, check=check
        )

    def submit(self, folder: Path, name: str, *command: str) -> str:
        """Submit a job from a working directory; returns its id."""
        words = ["--working-dir", str(folder), "--submission-id", name, "--no-wait"]
        self.ray("job", "submit", *words, "--", *command)
        return name

    def begin(self, folder: Path, name: str, *command: str) -> str:
        """The same as `submit` without a process of its own for the command; returns the id."""

        def is_taken() -> bool:
            try:
                self._client.submit_job(
                    entrypoint=shlex.join(command),
                    submission_id=name,
                    runtime_env={"working_dir": str(folder)},
                )
            except RuntimeError as error:  # jobs are listed before the node's agent is there
                assert "No available agent" in str(error), error
                return False
            return True

        self.wait(is_taken)
        return name

    @cached_property
    def _client(self) -> JobSubmissionClient:
        from ray.job_submission import JobSubmissionClient

        headers = {"Authorization": f"Bearer {self.token}"}
        return JobSubmissionClient(self.dashboard, headers=headers)

    def status(self, job: str) -> str:
        """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
        return str(self._client.get_job_status(job).value)

    def logs(self, job: str) -> str:
        """What the job has printed."""
        return str(self._client.get_job_logs(job))

    def stop(self, job: str) -> None:
        """The same as `ray job stop` without a process of its own for the command."""
        self._client.stop_job(job)

    def over(self, job: str) -> bool:
        """Whether a job goes on no more."""
        return self.status(job) not in ("PENDING", "RUNNING")

    def ended(self, job: str, seconds: float = _STARTS) -> str:
        """Wait for a job's end; returns its status."""
        self.wait(lambda: self.over(job), seconds)
        return self.status(job)

    def close(self) -> None:
        """End the head and all that runs on it."""
        going = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()  # SIGTERM has it wait 15 s and more for its children
        for process in going:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(_STARTS)
