"""``python -m kindling_core`` is the same as ``kindling``."""

from kindling_core.cli import main

main()
