"""`ccproxy-trio migrate`: the providers.json that replaces the legacy variables."""

from pathlib import Path

import click

from ccproxy_trio.cli.telling import Refused
from ccproxy_trio.settings import legacy
from ccproxy_trio.settings.load import ConfigError, env_file, environment


@click.command()
@click.option(
    "--env-file",
    "env_file_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Take the variables from this .env file. Left out: from the environment.",
)
def migrate(env_file_path: Path | None) -> None:
    """Print the providers.json that replaces legacy variables (OPENAI_API_KEY, BIG_MODEL and their like).

    It holds no key: those stay in the environment, and the file refers to them. Try it before removing
    anything:

    \b
    ccproxy-trio migrate > providers.json
    ccproxy-trio check --config providers.json
    """
    try:
        variables = environment() if env_file_path is None else env_file(env_file_path)
        click.echo(legacy.migrate(variables), nl=False)
    except ConfigError as error:
        raise Refused(str(error)) from error
