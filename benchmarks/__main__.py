"""`python -m benchmarks`: what the proxy costs, measured on this machine."""

import click

from benchmarks import (
    ask,
    compare,
    everything,
    fallback,
    gauge,
    grammar,
    memory,
    overhead,
    passing,
    plots,
    profile,
    results,
    soak,
    sse,
    startup,
    streams,
    translate,
    workers,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure the proxy. It runs as a process of its own; everything stays on 127.0.0.1."""


for benchmark in (
    ask,
    compare,
    everything,
    fallback,
    gauge,
    grammar,
    memory,
    overhead,
    passing,
    plots,
    profile,
    results,
    soak,
    sse,
    startup,
    streams,
    translate,
    workers,
):
    main.add_command(benchmark.command)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
