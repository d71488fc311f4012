"""aws.yaml and gcp.yaml: valid for Ray and for the cloud, and as cluster/README.md has them."""

import copy

import pytest
from cluster.common import CLUSTER, Refused, mutated
from cluster.launcher import MACHINES, check, prepared
from jsonschema import ValidationError

FILES = ["aws.yaml", "gcp.yaml"]

BOTH = {
    "a field that Ray does not know": ("max_workers: 8", "max_worker: 8\nmax_workers: 8"),
    "nodes that stay when idle": ("idle_timeout_minutes: 5", "idle_timeout_minutes: 600"),
    "nodes that are stopped, not ended": (
        "cache_stopped_nodes: false",
        "cache_stopped_nodes: true",
    ),
    "another Ray in the image": ("ray:2.60.0-py311-gpu", "ray:2.59.0-py311-gpu"),
    "another Python in the image": ("ray:2.60.0-py311-gpu", "ray:2.60.0-py312-gpu"),
    "another Ray installed": ("ray[default,tune]==2.60.0", "ray[default,tune]==2.59.0"),
    "packages that nobody tested": ("-c /home/ray/raybilevel/cluster/constraints.txt 'ray", "'ray"),
    "workers on the head": ("CPU: 0, raybilevel_driver: 1", "CPU: 4, raybilevel_driver: 1"),
    "no place for the driver": ("CPU: 0, raybilevel_driver: 1", "CPU: 0"),
    "the driver on spot nodes": ("CPU: 4, GPU: 1", "CPU: 4, GPU: 1, raybilevel_driver: 1"),
    "a GPU that the machine lacks": ("CPU: 8, GPU: 1", "CPU: 8, GPU: 4"),
    "CPUs that the machine lacks": ("CPU: 16, GPU: 1", "CPU: 32, GPU: 1"),
    "a group that costs when idle": ("GPU: 1}\n    min_workers: 0", "GPU: 1}\n    min_workers: 1"),
    "a dashboard for everybody": ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"),
    "a dashboard whose address nobody chose": (" --dashboard-host=127.0.0.1", ""),
    "no token": ("    - --env RAY_AUTH_MODE=token\n", ""),
    "a token in the file": ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=token --env RAY_AUTH_TOKEN=b6f2"),
    "a token that no node has": ("  /home/ray/raybilevel/auth_token: ~/.ray/auth_token\n", ""),
    "a checkout that pip can not build": ("  /home/ray/raybilevel/LICENSE: LICENSE\n", ""),
    "a head that never scales": (" --autoscaling-config=~/ray_bootstrap_config.yaml", ""),
    "workers at another port": ("$RAY_HEAD_IP:6379", "$RAY_HEAD_IP:6380"),
    "a head type that is not there": ("head_node_type: head", "head_node_type: haed"),
}
AWS = {
    "two GPU models at once": (
        "max_workers: 0\n    node_config: {<<",
        "max_workers: 8\n    node_config: {<<",
    ),
    "a head on spot": (
        "InstanceType: m6i.xlarge",
        "InstanceType: m6i.xlarge\n      InstanceMarketOptions: {MarketType: spot}",
    ),
    "workers on demand": (
        "InstanceMarketOptions: {MarketType: spot, SpotOptions: {SpotInstanceType: one-time}}",
        "InstanceMarketOptions: {}",
    ),
    "spot requests that outlive the cluster": ("one-time", "persistent"),
    "a field that EC2 does not know": (
        "IamInstanceProfile: {Name: raybilevel-worker}",
        "IamProfile: {Name: raybilevel-worker}",
    ),
    "a GPU type without GPU": ("InstanceType: g6.xlarge", "InstanceType: m6i.xlarge"),
    "an access key": ("ssh_user: ubuntu", "ssh_user: ubuntu  # AKIA" + "ABCDEFGHIJKLMNOP"),
    "a port opened to the world": (
        "region: us-west-2\n",
        "region: us-west-2\n"
        "  security_group: {IpPermissions: [{FromPort: 8265, ToPort: 8265, IpProtocol: tcp}]}\n",
    ),
}
GCP = {
    "two GPU models at once": (
        "max_workers: 0\n    node_config:\n      <<",
        "max_workers: 8\n    node_config:\n      <<",
    ),
    "a head on spot": ("provisioningModel: STANDARD", "provisioningModel: SPOT"),
    "workers on demand": ("provisioningModel: SPOT", "provisioningModel: STANDARD"),
    "a disk that outlives its node": (
        "instanceTerminationAction: DELETE",
        "instanceTerminationAction: STOP",
    ),
    "a GPU that should migrate": ("onHostMaintenance: TERMINATE", "onHostMaintenance: MIGRATE"),
    "a field that Compute Engine does not know": ("automaticRestart: false", "autoRestart: false"),
    "workers without the bucket": ("      serviceAccounts:\n", "      serviceAccount:\n"),
    "an unpinned client": ("google-api-python-client==2.202.0", "google-api-python-client"),
}
MUTATIONS = [
    pytest.param(file, *change, id=f"{file}: {name}")
    for file, own in (("aws.yaml", AWS), ("gcp.yaml", GCP))
    for name, change in {**BOTH, **own}.items()
]


@pytest.mark.parametrize("file", FILES)
def test_the_file_keeps_its_promises(file):
    check((CLUSTER / file).read_text())


@pytest.mark.parametrize(("file", "old", "new"), MUTATIONS)
def test_a_mistake_is_caught(file, old, new):
    with pytest.raises((Refused, ValueError, ValidationError)):
        check(mutated((CLUSTER / file).read_text(), old, new))


def test_both_clouds_start_the_same_software():
    aws, gcp = (prepared((CLUSTER / file).read_text()) for file in FILES)
    for key in (
        "docker",
        "file_mounts",
        "setup_commands",
        "head_start_ray_commands",
        "worker_start_ray_commands",
    ):
        assert aws[key] == gcp[key]


@pytest.mark.slow
def test_ray_starts_on_a_mock_of_aws_what_the_file_says(tmp_path, monkeypatch):
    """Ray's own bootstrap and node provider, with moto in place of EC2 and IAM."""
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("HOME", str(tmp_path))
    with mock_aws():
        for profile in ("raybilevel-head", "raybilevel-worker"):
            boto3.client("iam").create_instance_profile(InstanceProfileName=profile)
        _go_up(prepared((CLUSTER / "aws.yaml").read_text()))


def _go_up(config):
    import boto3
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    detected = copy.deepcopy(config)
    for group in detected["available_node_types"].values():
        group["resources"] = {}
    detected = AWSNodeProvider.fillout_available_node_types_resources(detected)
    for group in detected["available_node_types"].values():
        machine = MACHINES[group["node_config"]["InstanceType"]]
        found = group["resources"]
        assert (found["CPU"], found.get("GPU", 0)) == (machine.cpus, machine.gpus)
        assert machine.model is None or f"accelerator_type:{machine.model}" in found

    ready = bootstrap_aws(config)
    provider = AWSNodeProvider(ready["provider"], "raybilevel")
    ec2 = boto3.client("ec2", region_name=ready["provider"]["region"])
    for name, group in ready["available_node_types"].items():
        nodes = provider.create_node(group["node_config"], {"ray-user-node-type": name}, 1)
        (node,) = ec2.describe_instances(InstanceIds=list(nodes))["Reservations"][0]["Instances"]
        assert node["InstanceType"] == group["node_config"]["InstanceType"]
        assert (node.get("InstanceLifecycle") == "spot") == (name != "head")
