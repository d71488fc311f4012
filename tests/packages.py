"""Other people's packages: built as wheels, or no more than what registers a name."""

import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path


def build_wheel(source, folder):
    """The wheel of a project, as `pip wheel` would build it; no network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = Path(folder).glob("*.whl")
    return wheel


def install(wheel, target):
    """Unpack a pure Python wheel, which is all that installing one is."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)


def register(folder, package, group, name, path):
    """A package that consists of one registered name."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[raybilevel.{group}]\n{name} = {path}\n")


def write_module(folder, name, text):
    """A module of such a package."""
    (folder / f"{name}.py").write_text(textwrap.dedent(text))
