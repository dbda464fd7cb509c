"""The command ``fairvision``. Each sub-command is one module, imported when it runs.

A sub-command is a module with a click command called `command`, and one line here.
"""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from functools import partial
from typing import Any

import click

from fairvision import __version__
from fairvision.exceptions import FairvisionError, FairvisionWarning
from fairvision.plugins import clean, closest

# Command -> (module, help), so that --help imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "audit": ("fairvision.cli.audit", "Evaluate predictions made elsewhere, by group."),
    "check": ("fairvision.cli.check", "Check that a method keeps the contract and its claims."),
    "choose": ("fairvision.cli.choose", "Choose a method of a comparison by its validation rows."),
    "cite": ("fairvision.cli.cite", "Print what to cite for a method, as BibTeX."),
    "compare": ("fairvision.cli.compare", "Train methods with several seeds, side by side."),
    "data": ("fairvision.cli.data", "Describe a data set before any training."),
    "fit": ("fairvision.cli.fit", "Train one method, and save a model that predicts pictures."),
    "demo": ("fairvision.cli.demo", "Debias two biased models on drawn faces."),
    "methods": ("fairvision.cli.methods", "List the debiasing methods that are installed."),
    "new-plugin": ("fairvision.cli.new_plugin", "Create your own plugin from a template."),
    "plugins": ("fairvision.cli.plugins", "List the plugins and their problems."),
    "predict": ("fairvision.cli.predict", "Predict pictures with a saved model."),
    "reproduce": ("fairvision.cli.reproduce", "Run a paper's experiment, its table beside ours."),
    "report": ("fairvision.cli.report", "Draw a finished comparison as one HTML file."),
}


class _OneLine(click.ClickException):
    exit_code = 2


class LazyGroup(click.Group):
    """A group that imports a command when it is run, and shows our errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or name the closest."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            name = clean(args[0])
            ctx.fail(f"There is no command {name!r}.{closest(name, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours is one line and exit code 2, a warning one line."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = partial(_show_warning, warnings.showwarning)
                return super().invoke(ctx)
        except FairvisionError as error:
            if ctx.params["debug"]:
                raise
            raise _OneLine(clean(error, limit=4000)) from error


def _show_warning(usual: Any, message: Any, category: Any, *place: Any, **more: Any) -> None:
    """Print a warning of ours without the place in the source that it comes from."""
    if issubclass(category, FairvisionWarning):
        click.echo(f"Warning: {clean(str(message), limit=4000)}", err=True)
    else:
        usual(message, category, *place, **more)


@click.group(
    cls=LazyGroup,
    context_settings={"show_default": True},
    epilog="""\b
Examples:
  fairvision compare --dataset faces --methods erm,jlu --seeds 2 --out runs/faces
  fairvision COMMAND --help

\b
Exit codes: 0 done; 1 a check failed (`audit --fail-if`, `plugins --strict`), every run
failed, or Ctrl-C (`compare --out` resumes); 2 the input cannot be used.

\b
Completion: eval "$(_FAIRVISION_COMPLETE=bash_source fairvision)" in ~/.bashrc, or
zsh_source in ~/.zshrc; for fish: _FAIRVISION_COMPLETE=fish_source fairvision | source
""",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="fairvision")
def main(debug: bool) -> None:
    """Find, compare and report debiasing methods for vision models."""
    # A name that the terminal's encoding lacks must not end a listing.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
