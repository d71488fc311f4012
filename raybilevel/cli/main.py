"""The `raybilevel` command. Exit codes: 0 done, 2 bad input, 1 anything else."""

from __future__ import annotations

import sys
from typing import Annotated, cast

import typer

from raybilevel.errors import InputError, Interrupted, RunError
from raybilevel.terminal import accept_all_signs, say

# typer brings a click of its own, or takes the one that is installed
_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])

app = typer.Typer(
    help="Tunes the numbers above a diffusion model by bilevel optimization, on Ray.",
    pretty_exceptions_enable=False,
    add_completion=False,
)

Given = Annotated[
    str, typer.Argument(help="YAML file, see jobs/configs; or, to go on, a run's directory.")
]
Cluster = Annotated[
    str | None, typer.Option(help="Ray cluster to look on; default the one it was begun on.")
]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to join; default RAY_ADDRESS, else a local Ray.")
]


@app.command()
def run(
    config: Given,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="On top of the file.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check it, say what it costs, and begin nothing.")
    ] = False,
    address: Address = None,
) -> None:
    """Run a configuration."""
    from raybilevel import config_file
    from raybilevel.cli.dry_run import said_of
    from raybilevel.cli.given import read_given
    from raybilevel.report import finish
    from raybilevel.report.table import print_lines
    from raybilevel.tuner import BilevelTuner

    parts = config_file.build(read_given(config, overrides or [], resume=resume), config)
    tuner = BilevelTuner(parts.problem, parts.scaling, parts.run, address=address)
    tuner = tuner.resuming() if resume else tuner
    if dry_run:
        print_lines(said_of(tuner.check(), parts.run))
    else:
        finish(tuner.fit())


@app.command()
def compare(
    config: Annotated[
        str, typer.Argument(help="YAML file with a compare block, or a comparison's directory.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="On top of the file.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on, method by method.")] = False,
    address: Address = None,
) -> None:
    """Put the bilevel method beside Ray Tune's searches, at the same budget."""
    from raybilevel.baselines.compare import Comparison
    from raybilevel.baselines.config import comparison_of
    from raybilevel.cli.given import read_given
    from raybilevel.report.comparison import finish
    from raybilevel.report.progress import plain_lines

    parts, block = comparison_of(read_given(config, overrides or [], resume=resume), config)
    comparison = Comparison(parts, block, address)
    finish(comparison.run(plain_lines(), resume=resume))


@app.command()
def report(
    path: Annotated[
        str,
        typer.Argument(metavar="RUN_DIR", help="A run's or a comparison's, or its name in runs/."),
    ],
) -> None:
    """Print the table of a run or a comparison, draw its pictures, write its page."""
    from raybilevel.cli.given import named
    from raybilevel.report import comparison, finish
    from raybilevel.result import Result

    directory = named(path)
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
        say(line)


@app.command()
def stop(run: RunArgument, address: Cluster = None) -> None:
    """End a detached run; its checkpoints stay."""
    from raybilevel.cli import control

    say(control.stop(control.find(run), address))


@app.command()
def export(
    path: Annotated[str, typer.Argument(metavar="RUN_DIR", help="A run's directory.")],
    to: Annotated[str, typer.Option(help="diffusers or comfyui")] = "diffusers",
) -> None:
    """Print a run's list of noise levels as another program takes it."""
    from raybilevel.cli.lists import list_of
    from raybilevel.problems.schedule.teacher.pasted import pasted

    say(pasted(list_of(path), to, path))


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
    accept_all_signs()
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
        say(details, stderr=True)  # the run's own traceback
    say(f"raybilevel: {error}", stderr=True)
    sys.exit(code)
