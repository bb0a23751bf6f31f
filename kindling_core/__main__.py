"""The command ``kindling``, and ``python -m kindling_core``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status; ends quietly if it is interrupted before it has begun."""
    try:
        from kindling_core.cli import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
