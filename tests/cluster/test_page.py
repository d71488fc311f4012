"""cluster/README.md: what it says to type exists, and it names what the other files name."""

import pytest
from click import UsageError
from cluster.common import CLUSTER, Refused, mutated
from cluster.page import check, commands

from raybilevel.errors import InputError

CHANGES = {
    "a file that is not in the table": ("| `gcp.yaml` |", "| `azure.yaml` |"),
    "a file that is not there": ("ray up -y cluster/aws.yaml", "ray up -y cluster/ec2.yaml"),
    "a command that Ray does not have": ("ray dashboard cluster", "ray forward cluster"),
    "an option that Ray does not have": ("ray up -y", "ray up --force-yes"),
    "an option of another command": ("--submission-id reward-1", "--name reward-1"),
    "an entry point that is not there": ("python jobs/reward.py", "python jobs/rewards.py"),
    "an override that raybilevel refuses": ("scaling.use_gpu=true", "scaling.gpus=true"),
    "workers without GPU": ("scaling.use_gpu=true ", ""),
    "results that stay on the head": (
        "scaling.use_gpu=true run.storage_path=s3://YOUR-BUCKET/runs",
        "scaling.use_gpu=true",
    ),
    "packages that nobody tested": ("-c cluster/constraints.txt . boto3", ". boto3"),
    "a profile that nobody makes": ("in raybilevel-head raybilevel-worker", "in raybilevel-head"),
    "an account that nobody makes": ("create raybilevel-worker\n", "create worker\n"),
    "another client than the head's": ("client==2.202.0 google", "client==2.201.0 google"),
    "another image than the manifests'": (
        "-t YOUR-REGISTRY/raybilevel:0.2.0.dev0",
        "-t me/raybilevel:0.2.0.dev0",
    ),
    "another cluster's token": ("secret raybilevel ", "secret ray "),
    "a token in the page": ('RAY_AUTH_TOKEN="$(kubectl', 'RAY_AUTH_TOKEN="b6f2" # $(kubectl'),
    "no word of where the driver goes": ("`raybilevel_driver`", "`driver`"),
    "nodes that go at another time": ("after five minutes", "after an hour"),
}
MUTATIONS = [pytest.param("README.md", *change, id=name) for name, change in CHANGES.items()]


def test_the_page_keeps_its_promises():
    check((CLUSTER / "README.md").read_text())


@pytest.mark.parametrize(("file", "old", "new"), MUTATIONS)
def test_a_mistake_is_caught(file, old, new):
    with pytest.raises((Refused, UsageError, InputError)):
        check(mutated((CLUSTER / file).read_text(), old, new))


def test_commands_are_found_in_the_page():
    found = commands((CLUSTER / "README.md").read_text())
    assert ["ray", "down", "-y", "cluster/aws.yaml"] in found
    assert sum(words[:3] == ["ray", "job", "submit"] for words in found) == 3
