"""Where Java is."""

from __future__ import annotations

import os
import shutil


def java_path() -> str | None:
    """The Java that Spark would start, None if there is none."""
    home = os.environ.get("JAVA_HOME")
    if home and os.access(os.path.join(home, "bin", "java"), os.X_OK):
        return os.path.join(home, "bin", "java")
    return shutil.which("java")
