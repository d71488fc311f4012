"""The `raybilevel` command. Exit codes: 0 done, 2 bad input, 1 anything else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from raybilevel.errors import InputError, Interrupted, RunError

# typer brings a click of its own, or takes the one that is installed
_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])

app = typer.Typer(
    help="Tunes the numbers above a diffusion model by bilevel optimization, on Ray.",
    pretty_exceptions_enable=False,
    add_completion=False,
)

Cluster = Annotated[
    str | None, typer.Option(help="Ray cluster to look on; default the one it was begun on.")
]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to join; default RAY_ADDRESS, else a local Ray.")
]


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="YAML file; see jobs/configs.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="On top of the file.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint.")] = False,
    address: Address = None,
) -> None:
    """Run a configuration."""
    from raybilevel import config_file
    from raybilevel.report import finish
    from raybilevel.tuner import BilevelTuner

    parts = config_file.read(config, overrides or [])
    tuner = BilevelTuner(parts.problem, parts.scaling, parts.run, address=address)
    finish((tuner.resuming() if resume else tuner).fit())


@app.command()
def compare(
    config: Annotated[
        Path, typer.Argument(help="YAML file with a compare block; see jobs/configs.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="On top of the file.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on, method by method.")] = False,
    address: Address = None,
) -> None:
    """Put the bilevel method beside Ray Tune's searches, at the same budget."""
    from raybilevel.baselines.compare import Comparison
    from raybilevel.baselines.config import read_comparison
    from raybilevel.report.comparison import finish
    from raybilevel.report.progress import plain_lines

    parts, block = read_comparison(config, overrides or [])
    comparison = Comparison(parts, block, address)
    finish(comparison.run(plain_lines(), resume=resume))


@app.command()
def report(
    path: Annotated[
        str, typer.Argument(metavar="RUN_DIR", help="A run's or a comparison's directory.")
    ],
) -> None:
    """Print the table of a run or a comparison, draw its pictures, write its page."""
    from raybilevel.report import comparison, finish
    from raybilevel.result import Result
    from raybilevel.runtime.storage import RunDirectory

    directory = RunDirectory.at(path)
    if comparison.is_one(directory):
        comparison.finish(directory)
    else:
        finish(Result(directory))


RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run directory, or a run's name below runs/.")
]


@app.command()
def status(run: RunArgument, address: Cluster = None) -> None:
    """Say how a detached run stands."""
    from raybilevel.cli import control

    for line in control.status(control.find(run), address):
        typer.echo(line)


@app.command()
def stop(run: RunArgument, address: Cluster = None) -> None:
    """End a detached run; its checkpoints stay."""
    from raybilevel.cli import control

    typer.echo(control.stop(control.find(run), address))


@app.command()
def demo(
    problem: Annotated[str, typer.Argument(help="reward or schedule")] = "reward",
    address: Address = None,
) -> None:
    """Tune a small digits model, from pretraining to pictures."""
    from raybilevel.cli.demo import run_demo

    run_demo(problem, address)


def main() -> None:
    """Run the command line; errors become one sentence on standard error."""
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "raybilevel"
        _end(InputError(f"{_one_line(error.format_message())}; see {command} --help"), 2)
    except (KeyboardInterrupt, typer.Abort):
        _end(Interrupted("interrupted before the run had begun"), 1)
    except InputError as error:
        _end(error, 2)
    except RunError as error:
        _end(error, 1)


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _end(error: Exception, code: int) -> None:
    for details in getattr(error, "__notes__", []) if code == 1 else []:
        print(details, file=sys.stderr)  # noqa: T201 - the run's own traceback
    print(f"raybilevel: {error}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
