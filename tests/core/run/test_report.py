"""The report of a run."""

from __future__ import annotations

import json
import pickle

import pytest

from kindling_core.run.report import PipeReport, RunReport


def a_report(**exceptions):
    return RunReport(
        run_id="r1",
        mode="batch",
        status="failed",
        started_at="2024-01-01T00:00:00+00:00",
        duration_seconds=1.5,
        pipes=[
            PipeReport("a", "a", "succeeded", rows=12, duration_seconds=0.25, attempts=1),
            PipeReport("b", "b", "failed", error="no\nsuch column", error_type="ValueError", attempts=1),
            PipeReport("c", "c", "skipped", reason="pipe 'b' failed"),
            PipeReport("d", "d", "succeeded", rows=None, attempts=1),
        ],
        exceptions=exceptions,
    )


def test_the_report_prints_as_a_table():
    lines = str(a_report()).splitlines()
    assert lines[0] == "Run r1 (batch) failed in 1.50 s: 2 succeeded, 1 failed, 1 skipped"
    assert lines[2].split() == ["a", "succeeded", "12", "0.250"]
    assert lines[3].endswith("ValueError: no")
    assert lines[4].endswith("pipe 'b' failed")
    assert lines[5].split()[2] == "?"


def test_an_empty_report_prints():
    assert "no pipes" in str(RunReport("r1", "batch", "succeeded", "now"))


def test_to_dict_is_json_without_the_exceptions():
    told = json.loads(json.dumps(a_report(b=ValueError("x")).to_dict()))
    assert told["success_count"] == 2
    assert told["failed_count"] == 1
    assert told["skipped_count"] == 1
    assert told["pipes"][1]["error_type"] == "ValueError"
    assert "exceptions" not in told


def test_a_pipe_is_found_by_its_id():
    assert a_report().pipe("b").status == "failed"
    with pytest.raises(KeyError):
        a_report().pipe("z")


def test_pickling_keeps_the_exceptions_that_can_be_pickled():
    class Local(Exception):
        """Defined in a function, so pickle cannot find it."""

    copy = pickle.loads(pickle.dumps(a_report(a=ValueError("x"), b=Local())))
    assert list(copy.exceptions) == ["a"]
    assert copy == a_report()
