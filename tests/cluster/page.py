"""Checks of cluster/README.md: its commands exist, and its names are those of the other files."""

import re
import shlex

import yaml
from cluster.common import CLUSTER, DRIVER, ROOT, check_text, demand


def check(text):
    """`Refused`, or the error of who reads a command, unless every promise holds."""
    check_text(text)
    _check_files(text)
    for command in commands(text):
        _check_command(command)
    _check_names(text)


def commands(text):
    """The lines of bash blocks, as words, without comments and what is piped or goes on behind."""
    blocks = re.findall(r"^ *```bash\n(.+?)^ *```", text, re.S | re.M)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    found = [part for line in lines for part in re.split(r" && | &(?:\s|$)| > ", line)]
    return [_words(part) for part in found if re.match(r"(ray|pip|docker|kubectl) ", part)]


def _words(line):
    return shlex.split(line, comments=True)


def _check_files(text):
    named = set(re.findall(r"^\| `([\w.-]+)` \|", text, re.M))
    there = {path.name for path in CLUSTER.iterdir()} - {"README.md"}
    demand(named == there, f"the table has every file: {', '.join(sorted(there))}")
    for path in re.findall(r"\b(?:cluster|jobs)/[\w./-]+\.(?:yaml|py|txt)\b", text):
        demand((ROOT / path).is_file(), f"{path} is there")


def _check_command(words):
    if words[0] == "ray":
        from ray.scripts.scripts import cli

        _parse(cli, words[1:])
    if words[:3] == ["ray", "job", "submit"]:
        _check_entrypoint(words[words.index("--") + 1 :])
    if words[:2] == ["pip", "install"]:
        demand("cluster/constraints.txt" in words, "pip obeys the constraints")


def _parse(command, words):
    """Walk down click's groups, then parse: `UsageError` where there is no such option."""
    import click

    while isinstance(command, click.Group):
        below = command.get_command(click.Context(command), words[0])
        demand(below is not None, f"ray has a command '{words[0]}'")
        command, words = below, words[1:]
    command.make_parser(click.Context(command)).parse_args(list(words))


def _check_entrypoint(words):
    from raybilevel import config_file

    demand(words[0] == "python" and words[2] == "--config", "a job is an entry point and its file")
    overrides = words[4:]
    demand(any(word.startswith("run.storage_path=") for word in overrides), "what is found is kept")
    if words[3].startswith("jobs/"):
        demand(config_file.read(ROOT / words[3], overrides).scaling.use_gpu, "workers ask for GPUs")


def _check_names(text):
    aws, gcp, cluster, job = (
        yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())
        for name in ("aws", "gcp", "kuberay-cluster", "kuberay-job")
    )
    nodes = [group["node_config"] for group in aws["available_node_types"].values()]
    for profile in {node["IamInstanceProfile"]["Name"] for node in nodes}:
        demand(re.search(rf"for node in .*\b{profile}\b", text), f"{profile} is made")
    worker = gcp["available_node_types"]["l4-small"]["node_config"]["serviceAccounts"][0]["email"]
    account, project = worker.split("@")
    demand(f"service-accounts create {account}\n" in text, f"{account} is made")
    demand(f"serviceAccount:{account}@{project}" in text, f"{account} may write to the bucket")
    clients = gcp["head_setup_commands"][0].split("constraints.txt ")[1]
    demand(f". {clients}" in text, "your machine talks to Google as the head does")
    pod = cluster["spec"]["headGroupSpec"]["template"]["spec"]
    demand(f"-t {pod['containers'][0]['image']} ." in text, "the image is built")
    demand(f"create serviceaccount {pod['serviceAccountName']}\n" in text, "the account is made")
    demand(f"secret {cluster['metadata']['name']} " in text, "the token is the cluster's")
    demand(f"service/{cluster['metadata']['name']}-head-svc 8265" in text, "the head's service")
    demand(text.count(job["metadata"]["name"]) >= 2, "the run is watched by its name")
    demand(f"`{DRIVER}`" in text, "where the driver goes is said")
    idle = {aws["idle_timeout_minutes"], gcp["idle_timeout_minutes"]}
    idle.add(cluster["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] / 60)
    demand(idle == {5} and "after five minutes" in text, "when nodes go is said")
