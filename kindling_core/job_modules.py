"""Imports a job's modules, and shows the user's own traceback where a module does not import."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType

from kindling_core.errors import ConfigError, KindlingError, did_you_mean, full_text_of


def import_job_module(name: str, base_dir: Path, origin: str) -> ModuleType:
    """Import a module of the job, looking in ``base_dir`` first.

    Args:
        origin: where the job names the module, for the error.

    Raises:
        ConfigError: it does not exist, does not import, or another module of its name is already loaded
            from elsewhere.
    """
    folder = str(base_dir)
    if folder not in sys.path:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
    _refuse_namesake(name, base_dir, origin)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            near = did_you_mean(name, _module_names(base_dir))
            raise ConfigError(
                f"{origin}: no module {name!r}.{near} It is looked for in {base_dir} and on the Python path."
            ) from None
        raise ConfigError(_with_users_traceback(name, origin, error)) from error
    except KindlingError as error:
        # Names its place by itself.
        raise ConfigError(f"{origin}: module {name!r}: {full_text_of(error)}") from error
    except Exception as error:
        raise ConfigError(_with_users_traceback(name, origin, error)) from error


def _refuse_namesake(name: str, base_dir: Path, origin: str) -> None:
    """Two jobs in one process may not share a module name: the second would silently get the first's pipes."""
    root = name.partition(".")[0]
    loaded = sys.modules.get(root)
    mine = next((path for path in (base_dir / root / "__init__.py", base_dir / f"{root}.py") if path.exists()), None)
    if loaded is None or mine is None:
        return
    file = getattr(loaded, "__file__", None)
    if file is not None and Path(file).resolve() != mine.resolve():
        raise ConfigError(
            f"{origin}: module {name!r} would be {mine}, but this process has already loaded {file} under the "
            f"name {root!r}. Rename one of the two."
        )


def _module_names(base_dir: Path) -> list[str]:
    found = []
    for path in list(base_dir.glob("*.py")) + list(base_dir.glob("*/*.py")):
        parts = path.relative_to(base_dir).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def _with_users_traceback(name: str, origin: str, error: BaseException) -> str:
    trace = _without_our_frames(error.__traceback__)
    lines = traceback.format_exception(type(error), error, trace, chain=False)
    return f"{origin}: module {name!r} does not import:\n{''.join(lines).rstrip()}"


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """Skip the frames of this file and of the import machinery above the user's module."""
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename != __file__ and "importlib" not in filename:
            return trace
        trace = trace.tb_next
    return None
