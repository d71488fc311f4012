"""Checks of the KubeRay manifests: the fields of ray.io/v1, Ray's own reading, and our promises.

The models are the subset that the manifests use, and refuse every other field: a misspelt one is
dropped by the API server without a word. Names and values are those of Kubernetes' core/v1 and of
KubeRay's API reference for ray.io/v1 (docs.ray.io/en/master/kuberay/references/api.html), where
`authOptions` came with 1.5.1.
"""

import shlex
from typing import Annotated, Literal

import yaml
from cluster.common import DRIVER, ROOT, check_text, demand, pins
from pydantic import BaseModel, ConfigDict, Field

import raybilevel


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=47)]
Quantity = Annotated[str, Field(pattern=r"^\d+(m|[KMGT]i)?$")]
Count = Annotated[int, Field(ge=0)]


class Metadata(_Strict):
    name: Name


class Resources(_Strict):
    requests: dict[str, Quantity]
    limits: dict[str, Quantity]


class Port(_Strict):
    name: Name
    containerPort: Annotated[int, Field(ge=1, le=65535)]


class Container(_Strict):
    name: Name
    image: str
    ports: list[Port] = []
    resources: Resources


class Expression(_Strict):
    key: str
    operator: Literal["In", "NotIn"]
    values: Annotated[list[str], Field(min_length=1)]


class Term(_Strict):
    matchExpressions: Annotated[list[Expression], Field(min_length=1)]


class Selector(_Strict):
    nodeSelectorTerms: Annotated[list[Term], Field(min_length=1)]


class NodeAffinity(_Strict):
    requiredDuringSchedulingIgnoredDuringExecution: Selector


class Affinity(_Strict):
    nodeAffinity: NodeAffinity


class Toleration(_Strict):
    key: str
    operator: Literal["Equal", "Exists"]
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class PodSpec(_Strict):
    serviceAccountName: Name
    terminationGracePeriodSeconds: Count = 30
    affinity: Affinity
    tolerations: list[Toleration] = []
    containers: Annotated[list[Container], Field(min_length=1, max_length=1)]

    @property
    def terms(self):
        """Label sets of which a node must match one."""
        selector = self.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
        return [term.matchExpressions for term in selector.nodeSelectorTerms]


class Template(_Strict):
    spec: PodSpec


class HeadGroup(_Strict):
    serviceType: Literal["ClusterIP", "NodePort", "LoadBalancer"]
    rayStartParams: dict[str, str]
    template: Template


class WorkerGroup(_Strict):
    groupName: Name
    replicas: Count
    minReplicas: Count
    maxReplicas: Count
    rayStartParams: dict[str, str]
    template: Template


class AutoscalerOptions(_Strict):
    version: Literal["v1", "v2"]
    idleTimeoutSeconds: Count
    resources: Resources


class AuthOptions(_Strict):
    mode: Literal["token", "disabled"]


class ClusterSpec(_Strict):
    rayVersion: str
    authOptions: AuthOptions
    enableInTreeAutoscaling: bool
    autoscalerOptions: AutoscalerOptions
    headGroupSpec: HeadGroup
    workerGroupSpecs: Annotated[list[WorkerGroup], Field(min_length=1)]


class JobSpec(_Strict):
    entrypoint: str
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]
    backoffLimit: Count
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: Count
    activeDeadlineSeconds: Annotated[int, Field(gt=0)]
    rayClusterSpec: ClusterSpec


class RayCluster(_Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class RayJob(_Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec


# What marks spot nodes, by label and value: GKE's, EKS' and Karpenter's words
SPOT = {
    "cloud.google.com/gke-spot": "true",
    "eks.amazonaws.com/capacityType": "SPOT",
    "karpenter.sh/capacity-type": "spot",
}
# What names a GPU model, by label, and its values for the L4
L4 = {
    "cloud.google.com/gke-accelerator": {"nvidia-l4"},
    "node.kubernetes.io/instance-type": {"g6.xlarge", "g6.2xlarge", "g6.4xlarge"},
}
TAINTS = ["nvidia.com/gpu", "cloud.google.com/gke-spot", "eks.amazonaws.com/capacityType"]


def check(text):
    """`Refused`, or pydantic's or Ray's own exception, unless every promise holds."""
    check_text(text)
    tree = yaml.safe_load(text)
    if tree.get("kind") == "RayJob":
        job = RayJob.model_validate(tree).spec
        check_job(job)
        spec, raw = job.rayClusterSpec, tree["spec"]["rayClusterSpec"]
    else:
        spec, raw = RayCluster.model_validate(tree).spec, tree["spec"]
    check_cluster(spec)
    check_reading(raw)


def check_job(job):
    """The run ends, with all that it has started, and goes on after a lost head."""
    demand(job.shutdownAfterJobFinishes, "the cluster ends with the run")
    demand(job.ttlSecondsAfterFinished <= 600, "within ten minutes")
    words = shlex.split(job.entrypoint)
    demand(any(w.startswith("run.storage_path=") for w in words), "what is found is kept")
    demand("--resume" in words or not job.backoffLimit, "a retry goes on with the run")
    demand("scaling.use_gpu=true" in words, "workers ask for GPUs, for which the groups are")
    base = "/home/ray/raybilevel/"
    for path in [w.removeprefix(base) for w in words if w.startswith(base)]:
        demand(path.startswith("jobs/") and (ROOT / path).is_file(), f"{path} is in the image")


def check_cluster(spec):
    """What is promised of every cluster, whatever starts it."""
    demand(spec.rayVersion == pins()["ray"], "the tested Ray")
    demand(spec.authOptions.mode == "token", "every request needs the token")
    demand(spec.enableInTreeAutoscaling, "the cluster grows and shrinks")
    demand(spec.autoscalerOptions.version == "v2", "by the autoscaler that this Ray is made for")
    demand(0 < spec.autoscalerOptions.idleTimeoutSeconds <= 600, "idle pods go in ten minutes")
    images = {group.template.spec.containers[0].image for group in _groups(spec)}
    demand(len(images) == 1, "head and workers run in the same image")
    demand(images.pop().rpartition(":")[2] == _version(), "the image is that of this version")
    _check_head(spec.headGroupSpec)
    for group in spec.workerGroupSpecs:
        _check_worker(group)


def _groups(spec):
    return [spec.headGroupSpec, *spec.workerGroupSpecs]


def _version():
    return raybilevel.__version__


def _check_head(head):
    pod = head.template.spec
    demand(head.serviceType == "ClusterIP", "the head is reached from inside the cluster only")
    demand("dashboard-host" not in head.rayStartParams, "nobody opens the dashboard further")
    demand(len(pod.terms) == 1, "the head has no way around its labels")
    barred = {e.key: e.values for e in pod.terms[0] if e.operator == "NotIn"}
    demand(
        all(value in barred.get(key, []) for key, value in SPOT.items()), "the head is on demand"
    )
    demand(not pod.tolerations, "the head goes to no tainted node")
    demand(not _gpus(pod.containers[0]), "the head has no GPU to pay for")
    _check_container(pod.containers[0])


def _check_worker(group):
    pod, name = group.template.spec, group.groupName
    demand(group.minReplicas == group.replicas == 0, f"{name} costs nothing when idle")
    demand(group.maxReplicas > 0, f"{name} may start")
    for term in pod.terms:
        chosen = {e.key: set(e.values) for e in term if e.operator == "In"}
        demand(any(chosen.get(k) == {v} for k, v in SPOT.items()), f"{name} is spot")
        models = [chosen[key] <= L4[key] for key in L4 if key in chosen]
        demand(models and all(models), f"{name} has one GPU model")
    tolerated = {toleration.key for toleration in pod.tolerations}
    demand(tolerated >= set(TAINTS), f"{name} is let onto spot and GPU nodes")
    demand(_gpus(pod.containers[0]) == 1, f"{name} has a GPU, and one: a worker takes one")
    demand(pod.terminationGracePeriodSeconds <= 25, f"{name} ends within a spot node's notice")
    _check_container(pod.containers[0])


def _gpus(container):
    return int(container.resources.limits.get("nvidia.com/gpu", 0))


def _check_container(container):
    limits, requests = container.resources.limits, container.resources.requests
    demand(limits == requests, "a pod gets what it asks for: Ray reads its limits")
    demand({"cpu", "memory"} <= set(limits), "CPUs and memory are given")


def check_reading(raw):
    """What Ray's autoscaler makes of it."""
    from ray.autoscaler._private.kuberay.autoscaling_config import (
        _derive_autoscaling_config_from_ray_cr as read,
    )

    types = read({"metadata": {"name": "raybilevel", "namespace": "default"}, "spec": raw})
    groups = dict(types["available_node_types"])
    head = groups.pop("headgroup")["resources"]
    demand(head["CPU"] == 0, "workers stay off the head: CPU is 0")
    demand(head.get(DRIVER, 0) >= 1, f"the head has {DRIVER}")
    for name, group in groups.items():
        demand(DRIVER not in group["resources"], f"the driver stays off {name}")
        demand(group["resources"].get("GPU") == 1, f"Ray sees the GPU of {name}")
        demand(group["resources"]["CPU"] >= 1, f"Ray sees the CPUs of {name}")
