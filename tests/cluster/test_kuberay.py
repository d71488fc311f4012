"""The KubeRay manifests: only fields that exist, and read by Ray as meant."""

import pytest
import yaml
from cluster.common import CLUSTER, Refused, mutated
from cluster.kuberay import check
from pydantic import ValidationError

FILES = ["kuberay-cluster.yaml", "kuberay-job.yaml"]

_IN_SPOT = '{key: cloud.google.com/gke-spot, operator: In, values: ["true"]}'
_NOT_SPOT = '{key: cloud.google.com/gke-spot, operator: NotIn, values: ["true"]}'
_DRIVER = r'"{\"raybilevel_driver\": 1}"'
BOTH = {
    "a misspelt field": ("enableInTreeAutoscaling: true", "enableInTreeAutoScaling: true"),
    "an API version that is gone": ("ray.io/v1", "ray.io/v1alpha1"),
    "a number where KubeRay wants text": ('num-cpus: "0"', "num-cpus: 0"),
    "text where KubeRay wants a number": ("maxReplicas: 8", 'maxReplicas: "8"'),
    "no autoscaler": ("enableInTreeAutoscaling: true", "enableInTreeAutoscaling: false"),
    "the old autoscaler": ("version: v2", "version: v1"),
    "another Ray": ('rayVersion: "2.60.0"', 'rayVersion: "2.59.0"'),
    "another image on workers": (
        "raybilevel:0.2.0.dev0 # from cluster/Dockerfile\n",
        "raybilevel:0.0.9\n",
    ),
    "no token": ("mode: token", "mode: disabled"),
    "a token in the file": ("mode: token", "mode: token} # {auth_token: b6f2"),
    "a head for everybody": ("serviceType: ClusterIP", "serviceType: LoadBalancer"),
    "a dashboard for everybody": ('num-cpus: "0"', 'num-cpus: "0"\n      dashboard-host: 0.0.0.0'),
    "workers on the head": ('num-cpus: "0"', 'num-cpus: "2"'),
    "no place for the driver": (_DRIVER, r'"{\"driver\": 1}"'),
    "resources that Ray can not read": (
        r'"{\"raybilevel_driver\": 1}"',
        '{"raybilevel_driver": 1}',
    ),
    "the driver on spot nodes": (
        "rayStartParams: {}",
        'rayStartParams: {resources: \'"{\\"raybilevel_driver\\": 1}"\'}',
    ),
    "a head on spot": (f"- {_NOT_SPOT}\n", f"- {_IN_SPOT}\n"),
    "workers on demand": (f"- {_IN_SPOT}\n", f"- {_NOT_SPOT}\n"),
    "two GPU models": ("values: [nvidia-l4]", "values: [nvidia-l4, nvidia-tesla-t4]"),
    "workers that spot nodes refuse": (
        "key: cloud.google.com/gke-spot, operator: Equal",
        "key: gke-spot, operator: Equal",
    ),
    "workers that cost when idle": ("minReplicas: 0", "minReplicas: 1"),
    "workers that stay when idle": ("idleTimeoutSeconds: 300", "idleTimeoutSeconds: 36000"),
    "limits that are not the requests": (
        'memory: 10Gi, nvidia.com/gpu: "1"',
        'memory: 10Gi, nvidia.com/gpu: "2"',
    ),
    "no key to the bucket": ("serviceAccountName: raybilevel\n", "serviceAccount: raybilevel\n"),
}
JOB = {
    "a cluster that outlives the run": (
        "shutdownAfterJobFinishes: true",
        "shutdownAfterJobFinishes: false",
    ),
    "a retry that begins anew": ("/runs --resume", "/runs"),
    "results that go with the pods": ("run.storage_path=s3://YOUR-BUCKET/runs ", ""),
    "an entry point that is not in the image": ("jobs/reward.py", "jobs/rewards.py"),
    "workers that ask for no GPU": ("scaling.use_gpu=true ", ""),
}
MUTATIONS = [
    pytest.param(file, *change, id=f"{file}: {name}")
    for file, own in (("kuberay-cluster.yaml", {}), ("kuberay-job.yaml", JOB))
    for name, change in {**BOTH, **own}.items()
]


@pytest.mark.parametrize("file", FILES)
def test_the_manifest_keeps_its_promises(file):
    check((CLUSTER / file).read_text())


@pytest.mark.parametrize(("file", "old", "new"), MUTATIONS)
def test_a_mistake_is_caught(file, old, new):
    with pytest.raises((Refused, ValidationError, ValueError)):
        check(mutated((CLUSTER / file).read_text(), old, new))


def test_a_job_runs_on_the_same_cluster():
    cluster, job = (yaml.safe_load((CLUSTER / file).read_text())["spec"] for file in FILES)
    assert job["rayClusterSpec"] == cluster


def test_the_jobs_entrypoint_is_a_configuration(run_in):
    """What it says after the file's name are overrides that raybilevel reads."""
    from raybilevel import config_file

    job = yaml.safe_load((CLUSTER / "kuberay-job.yaml").read_text())["spec"]
    overrides = [word for word in job["entrypoint"].split() if "=" in word]
    config = config_file.read(CLUSTER.parent / "jobs/configs/reward.yaml", overrides)
    assert config.scaling.use_gpu
    assert config.run.storage_path.startswith("s3://")
