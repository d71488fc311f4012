"""Import paths resolve from the current directory, for the console script and on workers."""

import json
import subprocess
import sys

import pytest
from commands import environment
from users import settle, worker_pids

from raybilevel.errors import InputError
from raybilevel.imports import resolve

# what pip writes as bin/raybilevel: its own folder is on sys.path, and the current one is not
SCRIPT = "import sys\nfrom raybilevel.cli.main import main\nsys.exit(main())\n"


def test_a_module_in_the_current_directory_is_found_everywhere(cluster, run_in, tmp_path_factory):
    """That it is on a Ray of the run's own too, runtime/test_client.py shows beside a file."""
    script = tmp_path_factory.mktemp("bin") / "raybilevel"
    script.write_text(SCRIPT)
    settle(run_in, "own_module")
    done = subprocess.run(
        [sys.executable, str(script), "run", "c.yaml"],
        capture_output=True, text=True, timeout=300, check=False,
        env=environment(RAY_ADDRESS=cluster),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((run_in / "runs/mine/summary.json").read_text())
    assert summary["nfe_total"] == 2048 + 2 * 32  # the pool, and what is shown of p0 and p_x
    assert len(worker_pids(run_in)) >= 2  # the client's probe, and a worker: in this directory
    assert "status" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_path_leads_to_what_it_names(run_in):
    (run_in / "mod_one.py").write_text("value = 41\n")
    assert resolve("mod_one:value", "here") == 41


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("json", "looks like 'package.module:name'"),
        (":dumps", "looks like 'package.module:name'"),
        ("no_such_module_here:f", "importing 'no_such_module_here' from"),
        ("json:bogus", "module 'json' has no 'bogus'"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(path, said):
    with pytest.raises(InputError) as caught:
        resolve(path, "upper_reward")
    assert f"upper_reward is '{path}'" in str(caught.value)
    assert said in str(caught.value)
