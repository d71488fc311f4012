"""What the checks of all files in `cluster/` share."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"

DRIVER = "raybilevel_driver"
"""The resource that the driver asks a little of: it stays on the nodes that have it."""

_SECRETS = [
    r"A(KIA|SIA)[0-9A-Z]{16}",  # AWS access keys
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"gh[pousr]_\w{20,}",
    r"ya29\.[\w-]+",  # Google's OAuth tokens
    r"\bRAY_AUTH_TOKEN\s*[:=]\s*['\"]?[\w-]",
    r"(?i)\b(password|passwd|secret_?(access_?)?key|api_?key|auth_token)['\"]?\s*[:=]\s*['\"]?\w",
    r"\b[0-9a-f]{32,}\b",
]
_EVERYWHERE = r"0\.0\.0\.0|\[::\]"


class Refused(Exception):
    """A file in `cluster/` breaks a promise; the text says which."""


def demand(holds, promise):
    """`Refused` unless it holds."""
    if not holds:
        raise Refused(promise)


def pins(text=None):
    """The constraints as {name: version}; by default those of `constraints.txt`."""
    text = (CLUSTER / "constraints.txt").read_text() if text is None else text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines)}


def normal(name):
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_text(text):
    """No secret is written down, and nothing listens on every interface."""
    for pattern in _SECRETS:
        found = re.search(pattern, text)
        demand(found is None, f"no secrets in files, but there is '{found and found[0][:12]}...'")
    demand(not re.search(_EVERYWHERE, text), "nothing listens on every interface")


def check_pip(command):
    """A pip line installs what was tested, and exact versions of what was not."""
    words = [word.strip("'\"") for word in command.split()]
    demand("-c" in words, f"pip obeys the constraints: {command}")
    file = words[words.index("-c") + 1]
    demand(file.endswith("cluster/constraints.txt"), f"pip obeys our constraints: {command}")
    given = [w for w in words[words.index("install") + 1 :] if not w.startswith("-") and w != file]
    for requirement in given:
        _check_requirement(requirement)


def _check_requirement(requirement):
    if requirement.startswith((".", "/")):  # the project
        return
    name, _, version = requirement.partition("==")
    tested = pins().get(normal(name.partition("[")[0]))
    demand(
        re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?", name), f"'{requirement}' is a name or name==version"
    )
    demand(tested or version, f"{name} is pinned, here or in constraints.txt")
    demand(not (tested and version) or tested == version, f"{name} is the tested {tested}")


def mutated(text, old, new):
    """The text with the first `old` replaced, which must be there."""
    assert old in text, f"the mutation no longer fits: {old!r} is not there"
    return text.replace(old, new, 1)
