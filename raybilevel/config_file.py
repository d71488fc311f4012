"""`config.yaml`: a problem, `scaling:` and `run:`, with the names of the Python arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from raybilevel.config.settings import RunConfig, ScalingConfig, Settings
from raybilevel.errors import InputError
from raybilevel.imports import search_beside
from raybilevel.problems.base import Problem
from raybilevel.problems.kinds import class_of, kind_of

FORMAT = 3
"""Of run directories and files; 1 is that of raybilevel 0.1, 2 of one without prompts."""

_CALLABLE = "<callable "


@dataclass(frozen=True)
class Config:
    """A whole configuration."""

    problem: Problem
    scaling: ScalingConfig
    run: RunConfig

    @property
    def kind(self) -> str:
        """The problem's name in YAML: a registered one, or "package.module:Class"."""
        return kind_of(self.problem)

    @property
    def label(self) -> str:
        """The problem's name as a folder's, for runs that are given none."""
        return self.kind.rpartition(":")[2].rpartition(".")[2]


def read(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file, with `key=value` overrides on top.

    Raises
    ------
    InputError
        If the file is missing, empty, no mapping, or holds something unknown or wrong.
    """
    return build(read_tree(path, overrides), str(path))


def read_tree(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The mapping in a configuration file, with `key=value` overrides on top.

    Modules that lie beside the file can be imported from then on.

    Raises
    ------
    InputError
        If the file is missing, empty, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a YAML file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text; give a YAML file in UTF-8") from None
    search_beside(path)
    return overridden(parse(text, str(path)), overrides)


def overridden(tree: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The mapping, with `key=value` overrides set in it."""
    for override in overrides:
        _set(tree, override)
    return tree


def parse(text: str, where: str) -> dict[str, Any]:
    """The mapping in a YAML text."""
    tree = _load(text, where)
    if tree is None:
        raise InputError(f"{where} is empty; it must name a problem, such as 'problem: reward'")
    if not isinstance(tree, dict):
        raise InputError(
            f"{where} holds a {type(tree).__name__}, but it must be a mapping of 'key: value' lines"
        )
    return tree


def _load(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        first = " ".join(str(error).split())
        raise InputError(f"{where} is no YAML: {first}") from None


def _set(tree: dict[str, Any], override: str) -> None:
    """Set "a.b=value"; the value is read as YAML."""
    key, equals, value = override.partition("=")
    if not equals:
        raise InputError(f"override '{override}' has no '='; write key=value")
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise InputError(f"override '{override}' goes into '{parent}', which is no mapping")
    tree[last] = _load(value, f"override '{override}'")


def build(tree: Mapping[str, Any], where: str) -> Config:
    """The configuration that a mapping describes."""
    arguments = _named(tree, where)
    check_format(arguments.pop("format", FORMAT), where)
    if "compare" in arguments:
        raise InputError(
            f"{where} has a compare block, which is for 'raybilevel compare'; use that, or leave "
            "the block out"
        )
    make = class_of(arguments.pop("problem", None), where)
    scaling = _block(arguments.pop("scaling", None), "scaling", where)
    run = _block(arguments.pop("run", None), "run", where)
    _refuse_callables({**arguments, "run": run}, where)
    problem = make(**arguments)
    assert isinstance(problem, Problem), "class_of gives classes of problems"
    return Config(problem, ScalingConfig(**scaling), RunConfig(**run))


def check_format(given: Any, where: str) -> None:
    """Refuse what another version of raybilevel wrote, and this one does not read."""
    if given == FORMAT:
        return
    wrote = "raybilevel 0.1 wrote" if given == 1 else "another raybilevel wrote"
    raise InputError(
        f"{where} has format {given!r}, which {wrote}, but this version reads format {FORMAT} "
        "alone; use the version that wrote it, or run it again"
    )


def _block(value: Any, name: str, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{where}: {name} is {value!r}, but it must be a mapping")
    return _named(value, f"{where}: {name}")


def _named(tree: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """A copy of a mapping whose keys are names."""
    for key in tree:
        if not isinstance(key, str):
            raise InputError(f"{where} has the key {key!r}, but keys are names")
    return dict(tree)


def _refuse_callables(arguments: Mapping[str, Any], where: str) -> None:
    for key, value in leaves(arguments):
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and one.startswith(_CALLABLE):
                part = "run" if key.startswith("run.") else "problem"
                raise InputError(
                    f"{where}: {key} was the Python function {one[len(_CALLABLE) : -1]}, which is "
                    f"not stored; restore with BilevelTuner.restore(path, {part}=...)"
                )


def dump(config: Config, **blocks: Any) -> str:
    """The configuration as YAML, every default spelt out; callables by name, for reading only.

    Parameters
    ----------
    blocks : what is stored beside it.
    """
    tree = {"format": FORMAT, **to_tree(config), **blocks}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def to_tree(config: Config) -> dict[str, Any]:
    """The configuration as a mapping of YAML values."""
    assert isinstance(config.problem, Settings), "problems are settings"
    return {
        "problem": config.kind,
        **_fields(config.problem),
        "scaling": _fields(config.scaling),
        "run": _fields(config.run),
    }


def _fields(settings: Settings) -> dict[str, Any]:
    """The fields alone: iterating over a model gives its cached properties too."""
    return {name: _plain(getattr(settings, name)) for name in type(settings).model_fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return _fields(value)
    if is_dataclass(value) and not callable(value):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{_CALLABLE}{getattr(value, '__module__', '?')}.{name}>"
    return value


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by their dotted names."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
