"""The command ``kindling``, and ``python -m kindling_core``."""

from __future__ import annotations

import atexit
import io
import logging
import os
import sys


def main() -> None:
    """Run the command line and exit with its status; ends quietly if it is interrupted before it has begun."""
    ended = _Ending()
    is_program = _is_program()
    if is_program:
        atexit.register(ended.leave)
        _escape_what_cannot_be_encoded()
    try:
        from kindling_core.cli import main as command_line

        command_line(is_program=is_program)
    except KeyboardInterrupt:
        if sys.stderr is not None and not sys.stderr.closed:
            sys.stderr.write("interrupted\n")
        sys.exit(1)
    except SystemExit as leave:
        ended.succeeded = leave.code in (None, 0)
        raise


def _is_program() -> bool:
    """Whether this process is the command and nothing else, and not a program that calls it."""
    file = getattr(sys.modules["__main__"], "__file__", None) or ""
    return __name__ == "__main__" or os.path.splitext(os.path.basename(file))[0] == "kindling"


def _escape_what_cannot_be_encoded() -> None:
    """Have standard output take any text, as standard error does: a pipe's error may be in letters it does not know."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class _Ending:
    """Ends a process that has succeeded as soon as it has nothing left to do.

    Taking engines apart takes the interpreter some tenths of a second. Whoever is killed in that time has reported
    success, and yet looks as if it had failed to somebody who would then run it again.
    """

    def __init__(self) -> None:
        self.succeeded = False

    def leave(self) -> None:
        """End now; called after threads were waited for and whatever was registered later has been called."""
        if not self.succeeded:
            return
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError):
                # Whoever read it is gone, or it is closed.
                continue
        os._exit(0)


if __name__ == "__main__":
    main()
