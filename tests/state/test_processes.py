"""Who lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kindling_state.processes import is_dead, this_host, this_process

pytestmark = pytest.mark.skipif("/" not in this_host(), reason="this system does not tell processes apart")


def test_this_process_lives_and_another_that_had_its_id_does_not() -> None:
    host, pid, started = this_process()
    assert pid == os.getpid()
    assert not is_dead(host, pid, started)
    assert is_dead(host, pid, "12345")
    assert is_dead(host, 2**70, started), "a number that no process can have"


def test_a_killed_process_is_dead_also_before_its_parent_looks() -> None:
    child = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    assert child.stdout is not None
    child.stdout.read(1)
    began = subprocess.run(
        [sys.executable, "-c", f"from kindling_state.processes import _started; print(_started({child.pid}))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert not is_dead(this_host(), child.pid, began)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(this_host(), child.pid, began)
    child.communicate()
    assert is_dead(this_host(), child.pid, began)


def test_nothing_is_known_of_another_machine() -> None:
    assert not is_dead("elsewhere/boot/pid:[1]", 999_999_999, "1")
