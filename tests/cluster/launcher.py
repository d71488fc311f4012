"""Checks of the cluster launcher's YAML: Ray's own, the cloud's, and what we promise of it."""

import copy
import re
from typing import NamedTuple

import jsonschema
import yaml
from cluster.common import DRIVER, ROOT, check_pip, check_text, demand, pins


class Machine(NamedTuple):
    """What a machine type has, its GPUs included where they belong to the type."""

    cpus: int
    gpus: int = 0
    model: str | None = None


# AWS's are compared with its own list in test_launcher.py; Google's are those of its documentation
# (machine families N1, N2, G2, A2).
MACHINES = {
    "m6i.xlarge": Machine(4),
    "g4dn.xlarge": Machine(4, 1, "T4"),
    "g5.xlarge": Machine(4, 1, "A10G"),
    "g5.2xlarge": Machine(8, 1, "A10G"),
    "g6.xlarge": Machine(4, 1, "L4"),
    "g6.2xlarge": Machine(8, 1, "L4"),
    "g6.4xlarge": Machine(16, 1, "L4"),
    "n1-standard-8": Machine(8),
    "n2-standard-4": Machine(4),
    "g2-standard-4": Machine(4, 1, "L4"),
    "g2-standard-8": Machine(8, 1, "L4"),
    "g2-standard-16": Machine(16, 1, "L4"),
    "a2-highgpu-1g": Machine(12, 1, "A100"),
}


def prepared(text):
    """The file as `ray up` reads it, with Ray's defaults, after Ray's own validation."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(copy.deepcopy(yaml.safe_load(text)))
    validate_config(config)
    return config


def check(text):
    """`Refused`, or Ray's or the cloud's own exception, unless every promise holds."""
    check_text(text)
    config = prepared(text)
    cloud = {"aws": Aws, "gcp": Gcp}[config["provider"]["type"]]
    _check_scale(config)
    _check_head(config, cloud)
    for name in _workers(config):
        _check_worker(name, config["available_node_types"][name], cloud)
    _check_models(config, cloud)
    _check_software(config)
    _check_auth(config)
    _check_start(config)


def _workers(config):
    return [name for name in config["available_node_types"] if name != config["head_node_type"]]


def _check_scale(config):
    demand(0 < config["idle_timeout_minutes"] <= 10, "idle nodes go within ten minutes")
    demand(config["max_workers"] > 0, "the cluster may grow")
    demand(
        config["provider"].get("cache_stopped_nodes", True) is False,
        "nodes are terminated, not stopped: spot ones can not be, and a stopped disk costs",
    )
    demand("security_group" not in config["provider"], "no port is opened beside Ray's defaults")


def _check_head(config, cloud):
    head = config["available_node_types"][config["head_node_type"]]
    node = head["node_config"]
    cloud.validate(node)
    demand(not cloud.spot(node), "the head is on demand")
    demand(cloud.machine(node).gpus == 0, "the head has no GPU to pay for")
    demand((head["min_workers"], head["max_workers"]) == (0, 0), "there is one head")
    demand(head["resources"].get("CPU") == 0, "workers stay off the head: CPU is 0")
    demand(head["resources"].get(DRIVER, 0) >= 1, f"the head has {DRIVER}")
    demand(not head["resources"].get("GPU"), "workers stay off the head: no GPU")
    demand(cloud.head_identity(node), "the head may start nodes without a key in a file")


def _check_worker(name, group, cloud):
    node, resources = group["node_config"], group["resources"]
    cloud.validate(node)
    demand(cloud.spot(node), f"{name} is spot")
    demand(group["min_workers"] == 0, f"{name} costs nothing when idle")
    demand(DRIVER not in resources, f"the driver stays off {name}")
    machine = cloud.machine(node)
    demand(machine.gpus >= 1, f"{name} has a GPU")
    demand(
        (resources.get("CPU"), resources.get("GPU")) == (machine.cpus, machine.gpus),
        f"{name} says what its machine has: {machine}",
    )
    demand(cloud.identity(node), f"{name} may write to the bucket without a key in a file")


def _check_models(config, cloud):
    """A run's bits depend on the GPU model: what may start has one, in several spot markets."""
    groups = [config["available_node_types"][name] for name in _workers(config)]
    open_ = [group["node_config"] for group in groups if group["max_workers"] > 0]
    demand(len({cloud.machine(node).model for node in open_}) == 1, "one GPU model may start")
    demand(len({cloud.type(node) for node in open_}) > 1, "there are several instance types")


def _check_software(config):
    docker = config["docker"]
    demand(
        docker.get("image") == f"rayproject/ray:{pins()['ray']}-py311-gpu",
        "the image has the tested Ray, the tested Python and CUDA",
    )
    demand(
        not {"head_image", "worker_image"} & set(docker), "head and workers run in the same image"
    )
    for kind in ("head", "worker"):
        commands = config[f"{kind}_setup_commands"]
        installs = [command for command in commands if re.search(r"\bpip\d? ", command)]
        for command in installs:
            check_pip(command)
        whole = " ".join(installs)
        demand(
            re.search(rf"ray\[[\w,]*default[\w,]*\]=={pins()['ray']}\b", whole),
            f"{kind}: the pinned ray",
        )
        demand("/home/ray/raybilevel[" in whole, f"{kind}: this project is installed")
    _check_mounts(config["file_mounts"])


def _check_mounts(mounts):
    base = "/home/ray/raybilevel/"
    needed = ["raybilevel", "cluster", "pyproject.toml", "README.md", "LICENSE"]
    for name in needed:
        demand(mounts.get(base + name) == name, f"pip finds {name} on the nodes")
        demand((ROOT / name).exists(), f"{name} is in the repository")


def _check_auth(config):
    options = dict(
        option.removeprefix("--env ").partition("=")[::2]
        for option in config["docker"]["run_options"]
        if option.startswith("--env ")
    )
    demand(options.get("RAY_AUTH_MODE") == "token", "every node asks for the token")
    path = options.get("RAY_AUTH_TOKEN_PATH")
    demand(config["file_mounts"].get(path) == "~/.ray/auth_token", "every node has your token")


def _check_start(config):
    head, worker = (config[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker"))
    demand("ray start --head" in head, "the head starts Ray")
    demand(
        "--autoscaling-config=~/ray_bootstrap_config.yaml" in head, "the head scales the cluster"
    )
    demand("--dashboard-host=127.0.0.1" in head, "the dashboard listens on the head's loopback")
    port = re.search(r"--port=(\d+)", head)
    demand(port and f"--address=$RAY_HEAD_IP:{port[1]}" in worker, "workers find the head")


class Aws:
    """What EC2 makes of a node's configuration."""

    @staticmethod
    def validate(node):
        """Against botocore's model of RunInstances, as the call itself would."""
        import botocore.session
        from botocore.validate import ParamValidator

        shape = _ec2(botocore.session).operation_model("RunInstances").input_shape
        report = ParamValidator().validate({**node, "MinCount": 1, "MaxCount": 1}, shape)
        demand(not report.has_errors(), report.generate_report())

    @staticmethod
    def type(node):
        return node["InstanceType"]

    @staticmethod
    def machine(node):
        demand(node["InstanceType"] in MACHINES, f"{node['InstanceType']} is known")
        return MACHINES[node["InstanceType"]]

    @staticmethod
    def spot(node):
        """Whether it is spot; and then of the kind that Ray can replace, at the market's price."""
        options = node.get("InstanceMarketOptions", {})
        if options.get("MarketType") != "spot":
            return False
        spot = options.get("SpotOptions", {})
        demand(spot.get("SpotInstanceType", "one-time") == "one-time", "spot requests are one-time")
        return True

    @staticmethod
    def identity(node):
        return bool(node.get("IamInstanceProfile", {}).get("Name"))

    head_identity = identity


_models = {}


def _ec2(session):
    """EC2's model, which takes a second to read."""
    if "ec2" not in _models:
        _models["ec2"] = session.get_session().get_service_model("ec2")
    return _models["ec2"]


class Gcp:
    """What Compute Engine makes of a node's configuration."""

    @staticmethod
    def validate(node):
        """Against the fields that we use of the API's Instance, and no others."""
        jsonschema.validate(node, _INSTANCE)

    @staticmethod
    def type(node):
        return node["machineType"]

    @staticmethod
    def machine(node):
        demand(node["machineType"] in MACHINES, f"{node['machineType']} is known")
        machine = MACHINES[node["machineType"]]
        for extra in node.get("guestAccelerators", []):
            demand(machine.gpus == 0, "a machine with its own GPUs gets no others")
            model = extra["acceleratorType"].removeprefix("nvidia-").removeprefix("tesla-").upper()
            machine = Machine(machine.cpus, extra["acceleratorCount"], model)
        demand(
            not machine.gpus or node["scheduling"]["onHostMaintenance"] == "TERMINATE",
            "a machine with a GPU can not migrate",
        )
        return machine

    @staticmethod
    def spot(node):
        """Whether it is spot; and then gone when it is taken."""
        scheduling = node["scheduling"]
        if scheduling["provisioningModel"] != "SPOT":
            return False
        demand(scheduling.get("instanceTerminationAction") == "DELETE", "no preempted disk stays")
        demand(scheduling.get("automaticRestart") is False, "the API wants spot without restart")
        return True

    @staticmethod
    def identity(node):
        accounts = node.get("serviceAccounts", [])
        return bool(accounts) and all(a["email"].endswith(".gserviceaccount.com") for a in accounts)

    @staticmethod
    def head_identity(node):
        """Ray's launcher gives the head an account of its own making, over whatever is here."""
        return "serviceAccounts" not in node


def _strict(required, **properties):
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


# What gcp.yaml uses of `Instance` in compute.v1: names and values are those of the API's discovery
# document in google-api-python-client 2.202.0.
_TEXT, _BOOL = {"type": "string"}, {"type": "boolean"}
_INSTANCE = _strict(
    ["machineType", "disks", "scheduling"],
    machineType=_TEXT,
    disks={
        "type": "array",
        "minItems": 1,
        "items": _strict(
            ["boot", "autoDelete", "initializeParams"],
            boot=_BOOL,
            autoDelete={"const": True},
            type={"enum": ["PERSISTENT", "SCRATCH"]},
            initializeParams=_strict(
                ["diskSizeGb", "sourceImage"],
                diskSizeGb={"type": "integer", "minimum": 100},
                sourceImage={"type": "string", "pattern": r"^projects/[^/]+/global/images/"},
                diskType=_TEXT,
            ),
        ),
    },
    scheduling=_strict(
        ["provisioningModel", "onHostMaintenance"],
        provisioningModel={"enum": ["STANDARD", "SPOT"]},
        instanceTerminationAction={"enum": ["DELETE", "STOP"]},
        onHostMaintenance={"enum": ["MIGRATE", "TERMINATE"]},
        automaticRestart=_BOOL,
    ),
    guestAccelerators={
        "type": "array",
        "items": _strict(
            ["acceleratorType", "acceleratorCount"],
            acceleratorType=_TEXT,
            acceleratorCount={"type": "integer", "minimum": 1},
        ),
    },
    serviceAccounts={
        "type": "array",
        "items": _strict(
            ["email", "scopes"], email=_TEXT, scopes={"type": "array", "items": _TEXT}
        ),
    },
)
