"""What is shipped: versions, imports, wheels, and nothing that belongs to one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kindling_core
import kindling_entities
import kindling_state

ROOT = Path(__file__).parents[1]
HEAVY = ("pyspark", "pandas", "pyarrow", "networkx", "pydantic", "click", "rich", "deltalake", "pysail")


def run(*command: object, cwd: Path | None = None) -> str:
    ended = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_packages_have_one_version() -> None:
    assert kindling_core.__version__ == kindling_entities.__version__ == kindling_state.__version__


@pytest.mark.parametrize("names", ["", "Pipes, SignalEmitter, BlinkerSignalProvider, PipeMetadata"])
def test_importing_the_core_loads_nothing_heavy(names: str) -> None:
    script = f"import sys, kindling_core\nfrom kindling_core import __version__, {names}\n".replace(", \n", "\n")
    script += f"print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(sys.executable, "-c", script).strip() == "[]"


def test_importing_the_entities_plugin_loads_no_engine() -> None:
    heavy = ("pyspark", "pandas", "pyarrow", "deltalake", "pysail")
    script = "import sys, kindling_entities.plugin\nfrom kindling_entities import Entities\n"
    script += f"print([name for name in {heavy!r} if name in sys.modules])"
    assert run(sys.executable, "-c", script).strip() == "[]"


def test_importing_the_state_plugin_loads_no_database() -> None:
    script = "import sys, kindling_state.plugin\nprint('sqlalchemy' in sys.modules)"
    assert run(sys.executable, "-c", script).strip() == "False"


def test_every_name_of_the_public_face_can_be_imported() -> None:
    assert [name for name in kindling_core.__all__ if getattr(kindling_core, name, None) is None] == []


def test_no_file_holds_a_registry_or_a_home_folder() -> None:
    hosts = ("pypi" + ".org", "files.python" + "hosted", "repo1." + "maven", "registry.npm" + "js")
    homes = re.compile("/(?:ro" + "ot|wo" + r"rk|home/\w+)/")
    found = []
    for name in run("git", "ls-files", cwd=ROOT).splitlines():
        text = (ROOT / name).read_text(encoding="utf-8", errors="ignore") if (ROOT / name).is_file() else ""
        if any(host in text for host in hosts) or homes.search(text):
            found.append(name)
    assert found == []


@pytest.mark.slow
def test_the_wheels_install_and_run_a_job_outside_the_checkout(tmp_path: Path) -> None:
    for project in (ROOT, ROOT / "plugins" / "entities", ROOT / "plugins" / "state"):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", project)
    wheels = {path.name.partition("-")[0]: path for path in (tmp_path / "dist").glob("*.whl")}
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", ROOT / "constraints.txt")
    run(*pip, wheels["kindling_core"])
    listed = run(python, "-m", "pip", "list")
    assert not any(name in listed for name in ("pyspark", "pandas", "pyarrow"))
    run(*pip, f"{wheels['kindling_entities']}[embedded]")
    kindling = tmp_path / "venv" / "bin" / "kindling"
    run(kindling, "init", "shop", cwd=tmp_path)
    assert "succeeded" in run(kindling, "run", cwd=tmp_path / "shop")
    assert "Grace" in run(kindling, "show", "gold.customers", cwd=tmp_path / "shop")
    run(*pip, wheels["kindling_state"])
    with_state = ("--set", 'job.features=["entities", "state"]')
    run(kindling, "run", *with_state, cwd=tmp_path / "shop")
    assert "succeeded" in run(kindling, "runs", *with_state, cwd=tmp_path / "shop")
