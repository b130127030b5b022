"""The command `ccproxy-trio`: a group, one module a command."""

import importlib
import os
import sys
from types import MappingProxyType

import click

from ccproxy_trio import __version__

# name -> module and the line `--help` lists. Kept here so that asking for help, or migrating, does not
# import the web server.
COMMANDS = MappingProxyType(
    {
        "serve": ("ccproxy_trio.cli.serve", "Run the proxy."),
        "demo": ("ccproxy_trio.cli.demo", "Run it over three simulated providers: no key needed."),
        "check": ("ccproxy_trio.cli.check", "Show the configuration, or everything that is wrong with it."),
        "simulate": ("ccproxy_trio.cli.simulate", "Rehearse an outage of your providers: no key needed."),
        "migrate": ("ccproxy_trio.cli.migrate", "Print the providers.json that replaces legacy variables."),
    }
)


class Commands(click.Group):
    """A group that imports a command's module when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of a newcomer's questions, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(
    __version__, "-V", "--version", prog_name="ccproxy-trio", message="%(prog)s %(version)s"
)
def main() -> None:
    """Run Claude Code on the providers you choose, and keep it running when one fails.

    \b
    ccproxy-trio demo      see it work, without a key
    ccproxy-trio check     look at your configuration
    ccproxy-trio simulate  rehearse an outage with it
    ccproxy-trio serve     run it

    The configuration is looked for at --config, then at $CCPROXY_CONFIG, then in your configuration folder
    (ccproxy-trio/providers.json); never in the working directory.
    """
    _open_standard_streams()


def _open_standard_streams() -> None:
    """Open what whoever started us has closed. Else the first sockets would be taken for these streams."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
