"""The click group of ``retina``: loads a command when it is used, and turns errors into one line each."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, cast

import click

from retina_cli.session import Session
from retina_core.errors import BrokenPluginError, RequestError, RetinaError, nearest
from retina_core.interruption import Terminated, termination_raises
from retina_core.specs import CommandSpec

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses of a process that SIGINT or SIGTERM ended, by the shell's custom (128 + 2, 128 + 15)."""


class Entry(NamedTuple):
    """One command: ``"module:attribute"``, and what ``--help`` says of it."""

    target: str
    summary: str
    instead: str = ""
    """For a command that one process carries out alone: what to do where ``torchrun`` started several."""


class RetinaGroup(click.Group):
    """Lists commands from a table without importing them; click's own group would import each for its help line.

    As the outermost group it ends every refusal with one ``Error:`` line and its exit status, those of plugins'
    commands too, and leaves the traceback to bugs.
    """

    def __init__(
        self, *args: Any, table: Mapping[str, Entry] | None = None, with_plugins: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.table = dict(table or {})
        self.with_plugins = with_plugins

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.table, *(spec.name for spec in self._plugin_commands(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if entry := self.table.get(cmd_name):
            module, _, attribute = entry.target.partition(":")
            return cast(click.Command, getattr(importlib.import_module(module), attribute))
        for spec in self._plugin_commands(ctx):
            if spec.name == cmd_name:
                return _plugin_command(_session(ctx), spec)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            ctx.fail(f"no command is called {name!r}{nearest(name, self.list_commands(ctx))}")
        if (entry := self.table.get(name)) and entry.instead:
            _refuse_company(name, entry.instead)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])
        if specs := self._plugin_commands(ctx):
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(spec.name, spec.summary) for spec in specs])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            with termination_raises():
                status = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except RetinaError as error:
            _end(f"Error: {error}", error.exit_status)
        except click.exceptions.NoArgsIsHelpError as error:
            _end(error.format_message(), error.exit_code)
        except click.ClickException as error:
            _end(f"Error: {_sentence(error)}", error.exit_code)
        except click.Abort as error:
            words = sys.argv[1:] if args is None else list(args)
            _end(_how_to_go_on(words), TERMINATED if isinstance(error.__cause__, Terminated) else INTERRUPTED)
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command; what it returns is not an exit status."""
        super().invoke(ctx)

    def _plugin_commands(self, ctx: click.Context) -> Sequence[CommandSpec]:
        return _session(ctx).registry.commands() if self.with_plugins else ()


def _refuse_company(name: str, instead: str) -> None:
    """Refuse a command that several processes would each carry out, in each other's way.

    Raises:
        RequestError: ``torchrun`` started this process beside others.
    """
    if (world := os.environ.get("WORLD_SIZE", "1")) != "1":
        if os.environ.get("RANK", "0") != "0":
            sys.exit(RequestError.exit_status)  # the first process says it for all
        raise RequestError(f"{name}: runs in one process, and torchrun started {world}; {instead}")


def _session(ctx: click.Context) -> Session:
    return ctx.find_root().ensure_object(Session)


def _plugin_command(session: Session, spec: CommandSpec) -> click.Command:
    command = session.registry.command(spec)
    if not isinstance(command, click.Command):
        raise BrokenPluginError(session.registry.plugin_of(spec).plugin, f"{spec.target} is no click command")
    return command


def _sentence(error: click.ClickException) -> str:
    """What click complains of, and where the options are listed."""
    context = getattr(error, "ctx", None)
    said = error.format_message().strip().rstrip(".")
    said = said[:1].lower() + said[1:]
    return f"{said}; see: {context.command_path} --help" if context else said


def _how_to_go_on(words: Sequence[str]) -> str:
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "Interrupted; start torchrun the same way to go on."
    return f"Interrupted; the same command continues where this one stopped: {shlex.join(['retina', *words])}"


def _end(line: str, status: int) -> NoReturn:
    click.echo(line, err=True)
    sys.exit(status)
