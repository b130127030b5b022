"""`python -m ccproxy_trio` is the command `ccproxy-trio`."""

from ccproxy_trio.cli.main import main

if __name__ == "__main__":
    main(prog_name="ccproxy-trio")
