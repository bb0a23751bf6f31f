"""Whole runs: what is sent in which order, and how runs end."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling_core.clock import SystemClock
from kindling_core.errors import CycleError, PipeError, PlanError, RunFailed
from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.plan.graph import ExecutionMode
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.run.hooks import RunHooks
from kindling_core.run.io import RunIO
from kindling_core.run.requests import RunInfo, RunRequest
from kindling_core.signals import BlinkerSignalProvider
from tests.core.run.test_streams import Stream

PATIENCE_SECONDS = 30
ENDINGS = {"datapipes.after_pipe", "datapipes.pipe_failed", "datapipes.pipe_skipped"}
RUN_ENDINGS = {"datapipes.after_run", "datapipes.run_failed"}


def recorded(provider):
    events = []
    for name in DataPipesExecuter.EMITS:

        def receive(sender, name=name, **fields):
            events.append((name, fields))

        provider.create_signal(name).connect(receive)
    return events


def names(events):
    return [name.partition(".")[2] for name, _ in events]


def fields_of(events, name):
    return [fields for other, fields in events if other == name]


def registry_of(*pipes):
    registry = DataPipesRegistry()
    for pipe in pipes:
        registry.register(pipe)
    return registry


def pipe(pipe_id, inputs=(), output=None, execute=None, mode="batch"):
    def give(**inputs):
        return f"made by {pipe_id}" if output else None

    return PipeMetadata(pipe_id, f"name of {pipe_id}", list(inputs), output, {}, execute or give, mode)


def fail(**inputs):
    raise ValueError("broken")


def setup(*pipes, **options):
    provider = BlinkerSignalProvider()
    hooks = {field.name: options.pop(field.name) for field in dataclasses.fields(RunHooks) if field.name in options}
    executer = DataPipesExecuter(registry_of(*pipes), signal_provider=provider, hooks=RunHooks(**hooks), **options)
    return executer, recorded(provider), [one.pipe_id for one in pipes]


DIAMOND = [pipe("top", [], "t"), pipe("left", ["t"], "l"), pipe("right", ["t"], "r"), pipe("end", ["l", "r"], "e")]


def test_a_run_tells_everything_in_order():
    executer, events, ids = setup(*DIAMOND, max_workers=1)
    executer.run_datapipes(ids)
    around = ["before_pipe", "after_pipe"]
    assert names(events) == [
        "plan_created",
        "before_run",
        *["before_generation", *around, "after_generation"],
        *["before_generation", *around, *around, "after_generation"],
        *["before_generation", *around, "after_generation"],
        "after_run",
    ]


def test_payloads_carry_what_the_contract_says():
    executer, events, ids = setup(*DIAMOND, write_entity=lambda entity_id, value, pipe: 7, read_entity=lambda *_: 1)
    report = executer.run_datapipes(ids)
    (before,), (after,) = fields_of(events, "datapipes.before_run"), fields_of(events, "datapipes.after_run")
    assert before["pipe_ids"] == ["top", "left", "right", "end"]
    assert (before["pipe_count"], before["execution_mode"], before["generation_count"]) == (4, "batch", 3)
    assert (after["success_count"], after["failed_count"]) == (4, 0)
    assert after["operation_id"] == before["operation_id"]
    assert after["duration_seconds"] >= 0
    assert {fields["run_id"] for _, fields in events} == {report.run_id}
    starts = {fields["pipe_id"]: fields for fields in fields_of(events, "datapipes.before_pipe")}
    assert {pipe_id: fields["pipe_index"] for pipe_id, fields in starts.items()} == {
        "top": 0,
        "left": 1,
        "right": 2,
        "end": 3,
    }
    for ended in fields_of(events, "datapipes.after_pipe"):
        assert ended["rows_processed"] == 7
        assert ended["pipe_name"] == f"name of {ended['pipe_id']}"
        assert ended["operation_id"] == starts[ended["pipe_id"]]["operation_id"]
    assert len({fields["operation_id"] for fields in starts.values()}) == 4


def test_the_report_says_how_each_pipe_went():
    executer, _, ids = setup(*DIAMOND)
    report = executer.run_datapipes(ids)
    assert report.status == "succeeded"
    assert [one.pipe_id for one in report.pipes] == ["top", "left", "right", "end"]
    end = report.pipe("end")
    assert (end.status, end.attempts, end.generation) == ("succeeded", 1, 2)
    assert (end.input_entity_ids, end.output_entity_id) == (("l", "r"), "e")
    assert end.started_seconds is not None
    assert end.started_seconds >= report.pipe("left").started_seconds


def test_inputs_reach_the_pipe_by_name_and_keep_their_version():
    asked, got, written = [], {}, []

    def read(entity_id, one):
        asked.append((entity_id, one.pipe_id))
        return entity_id.upper()

    def write(entity_id, value, one):
        written.append((entity_id, value, one.pipe_id))

    def execute(a_b, c_d):
        got.update(a_b=a_b, c_d=c_d)
        return "value"

    executer = DataPipesExecuter(registry_of(pipe("p", ["a.b", "c.d@v3"], "o.o", execute)), read, write)
    report = executer.run_datapipes(["p"])
    assert asked == [("a.b", "p"), ("c.d@v3", "p")]
    assert got == {"a_b": "A.B", "c_d": "C.D@V3"}
    assert written == [("o.o", "value", "p")]
    assert report.pipe("p").rows is None


def test_without_read_and_write_a_run_hands_values_on_in_memory():
    got = []
    executer, _, ids = setup(pipe("a", [], "x"), pipe("b", ["x"], None, lambda x: got.append(x)))
    executer.run_datapipes(ids)
    assert got == ["made by a"]


def test_without_read_an_input_from_outside_fails_the_pipe_clearly():
    executer, _, _ = setup(pipe("b", ["x"]))
    with pytest.raises(RunFailed, match="no read_entity was given"):
        executer.run_datapipes(["b"])


@pytest.mark.parametrize("ids", [["top", "left"], ["top"]])
def test_without_a_graph_pipes_run_in_the_given_order_and_no_execution_signal_is_sent(ids):
    executer, events, _ = setup(*DIAMOND)
    executer.run_datapipes(ids, use_graph=len(ids) == 1)
    assert names(events) == ["before_run", *["before_pipe", "after_pipe"] * len(ids), "after_run"]
    assert events[0][1]["generation_count"] == 0
    assert [fields["pipe_id"] for fields in fields_of(events, "datapipes.before_pipe")] == ids


def test_without_a_graph_consumers_may_come_first():
    seen = []
    executer = DataPipesExecuter(registry_of(*DIAMOND), lambda entity_id, one: seen.append(one.pipe_id))
    executer.run_datapipes(["end", "left"], use_graph=False)
    assert seen == ["end", "end", "left"]


def test_no_pipes_is_a_run_that_succeeds():
    executer, events, _ = setup()
    assert executer.run_datapipes([]).status == "succeeded"
    assert names(events) == ["before_run", "after_run"]


def test_a_streaming_order_runs_consumers_first():
    executer, events, ids = setup(*DIAMOND, max_workers=1, read_entity=lambda *_: 1)
    executer.run_datapipes(ids, mode=ExecutionMode.STREAMING)
    started = [fields["pipe_id"] for fields in fields_of(events, "datapipes.before_pipe")]
    assert started == ["end", "left", "right", "top"]


def test_rows_are_0_for_a_pipe_that_writes_nothing():
    executer, events, ids = setup(pipe("a"))
    assert executer.run_datapipes(ids).pipe("a").rows == 0
    assert fields_of(events, "datapipes.after_pipe")[0]["rows_processed"] == 0


# Failing


def test_the_first_failure_skips_the_rest_and_ends_the_run_once():
    executer, events, ids = setup(
        pipe("a", [], "x"), pipe("b", ["x"], "y", fail), pipe("c", ["y"], "z"), pipe("d", ["z"])
    )
    with pytest.raises(RunFailed, match="Pipe 'b' failed: ValueError: broken") as caught:
        executer.run_datapipes(ids)
    report = caught.value.report
    assert [one.status for one in report.pipes] == ["succeeded", "failed", "skipped", "skipped"]
    assert report.status == "failed"
    assert isinstance(report.exceptions["b"], ValueError)
    assert caught.value.__cause__ is report.exceptions["b"]
    assert names(events)[-4:] == ["after_generation", "pipe_skipped", "pipe_skipped", "run_failed"]
    assert {one["caused_by"] for one in fields_of(events, "datapipes.pipe_skipped")} == {"b"}
    (failed,) = fields_of(events, "datapipes.run_failed")
    assert (failed["failed_pipe"], failed["success_count"]) == ("b", 1)
    assert (failed["error"], failed["error_type"]) == ("broken", "ValueError")
    assert {one["reason"] for one in fields_of(events, "datapipes.pipe_skipped")} == {"pipe 'b' failed"}


def test_a_failed_pipe_shares_its_operation_with_its_start():
    executer, events, ids = setup(pipe("a", execute=fail))
    with pytest.raises(RunFailed):
        executer.run_datapipes(ids)
    (before,), (after,) = fields_of(events, "datapipes.before_pipe"), fields_of(events, "datapipes.pipe_failed")
    assert before["operation_id"] == after["operation_id"]
    assert (after["error"], after["error_type"]) == ("broken", "ValueError")


def test_a_read_and_a_write_that_raise_fail_the_pipe():
    for broken in ("read_entity", "write_entity"):
        options = {"read_entity": lambda *_: 1, "write_entity": lambda *_: 1}
        executer, _, _ = setup(pipe("a", ["x"], "y"), **(options | {broken: lambda *_: 1 / 0}))
        with pytest.raises(RunFailed, match="ZeroDivisionError"):
            executer.run_datapipes(["a"])


def test_an_output_for_which_nothing_is_returned_is_an_error_that_names_pipe_and_entity():
    executer, _, ids = setup(pipe("a", [], "gold.x", lambda: None))
    with pytest.raises(RunFailed, match=r"'a'.*'gold\.x'") as caught:
        executer.run_datapipes(ids)
    assert isinstance(caught.value.report.exceptions["a"], PipeError)


def test_a_value_without_an_output_is_warned_about_once(caplog):
    executer, _, ids = setup(pipe("a", execute=lambda: 5))
    with caplog.at_level(logging.WARNING, "kindling.pipes"):
        for _ in range(2):
            assert executer.run_datapipes(ids).pipe("a").rows == 0
    assert len(caplog.records) == 1
    assert "'a'" in caplog.text


def test_a_pipe_that_exits_has_failed_and_does_not_take_the_process_along():
    executer, _, ids = setup(pipe("a", execute=lambda: sys.exit(3)))
    with pytest.raises(RunFailed, match="SystemExit"):
        executer.run_datapipes(ids)


def test_secrets_are_masked_in_signals_and_report():
    def leak():
        raise ValueError("password hunter2")

    executer, events, ids = setup(pipe("a", execute=leak), redact=lambda text: text.replace("hunter2", "***"))
    with pytest.raises(RunFailed) as caught:
        executer.run_datapipes(ids)
    assert "hunter2" not in f"{caught.value}{caught.value.report}{events}"
    assert caught.value.report.pipe("a").error == "password ***"


# Planning


def assert_planning_fails(executer, events, ids, match, kind=PlanError, **options):
    with pytest.raises(kind, match=match):
        executer.run_datapipes(ids, **options)
    assert names(events) == ["run_failed"]
    assert events[0][1]["failed_pipe"] is None
    assert events[0][1]["pipe_ids"] == ids


def test_a_cycle_sends_run_failed_alone():
    executer, events, ids = setup(pipe("a", ["y"], "x"), pipe("b", ["x"], "y"))
    assert_planning_fails(executer, events, ids, "a -> b -> a", CycleError)


def test_an_unknown_pipe_sends_run_failed_alone():
    executer, events, _ = setup(pipe("load"))
    assert_planning_fails(executer, events, ["laod"], "Did you mean 'load'")


def test_an_unknown_mode_sends_run_failed_alone():
    executer, events, ids = setup(pipe("a"))
    assert_planning_fails(executer, events, ids, "Did you mean 'batch'", mode="bath")


@pytest.mark.parametrize("use_graph", [True, False])
def test_an_undeclared_input_sends_run_failed_alone(use_graph):
    executer, events, ids = setup(
        pipe("a", ["x"]), pipe("b"), describe_entity={"z": EntityInfo("z")}.get, known_entities=lambda: ["z"]
    )
    assert_planning_fails(executer, events, ids, "reads 'x'", use_graph=use_graph)


def test_a_plan_that_a_feature_refuses_sends_run_failed_alone():
    def refuse(plan, run):
        raise PlanError("not on Sundays")

    executer, events, ids = setup(*DIAMOND, on_plan=refuse)
    assert_planning_fails(executer, events, ids, "not on Sundays")


def test_a_feature_that_breaks_while_planning_is_a_plan_error():
    executer, events, ids = setup(*DIAMOND, on_plan=lambda plan, run: 1 / 0)
    assert_planning_fails(executer, events, ids, "division by zero")


def test_a_streaming_pipe_that_nothing_runs_is_a_plan_error_that_names_the_plugin():
    executer, events, ids = setup(pipe("a", mode="streaming"), pipe("b"))
    assert_planning_fails(executer, events, ids, "pip install kindling-streaming")


def test_planning_alone_sends_nothing():
    executer, events, ids = setup(*DIAMOND)
    assert executer.plan(ids).generations == [["top"], ["left", "right"], ["end"]]
    assert events == []


# RunHooks


def test_a_streaming_pipe_is_started_and_not_called():
    stream = Stream()

    def start(one, run, fence):
        assert isinstance(run, RunInfo)
        fence.check()
        return stream

    executer, events, ids = setup(pipe("s", ["x"], "y", fail, "streaming"), start_stream=start)
    report = executer.run_datapipes(ids, mode="streaming")
    assert report.pipe("s").rows == 0
    stream.end()
    report.open_run.wait(PATIENCE_SECONDS)
    assert names(events)[-2:] == ["after_pipe", "after_run"]


def test_io_makes_read_and_write_for_each_run():
    runs = []

    def io(run, plan):
        runs.append((run, plan))
        return RunIO(lambda entity_id, one: 1, lambda entity_id, value, one: 3)

    executer, _, ids = setup(*DIAMOND, io=io)
    reports = [executer.run_datapipes(ids) for _ in range(2)]
    assert [run.run_id for run, _ in runs] == [report.run_id for report in reports]
    assert reports[0].run_id < reports[1].run_id
    assert list(runs[0][0].pipe_ids) == ids
    assert runs[0][1].cache_recommendations == {"t": "MEMORY_AND_DISK"}
    assert reports[0].pipe("end").rows == 3


def test_a_reason_skips_a_pipe_and_the_rest_goes_on():
    executer, events, ids = setup(
        *DIAMOND, read_entity=lambda *_: 1, before_pipe=lambda one, run: "fresh" if one.pipe_id == "top" else None
    )
    report = executer.run_datapipes(ids)
    assert (report.status, report.pipe("top").status, report.pipe("top").reason) == ("succeeded", "skipped", "fresh")
    assert report.pipe("top").attempts == 0
    (skipped,) = fields_of(events, "datapipes.pipe_skipped")
    assert (skipped["pipe_id"], skipped["reason"]) == ("top", "fresh")
    assert fields_of(events, "datapipes.after_run")[0]["success_count"] == 3


def test_a_before_pipe_that_raises_fails_the_pipe_after_its_start_was_told():
    executer, events, ids = setup(pipe("a"), before_pipe=lambda one, run: 1 / 0)
    with pytest.raises(RunFailed, match="ZeroDivisionError"):
        executer.run_datapipes(ids)
    assert names(events) == ["before_run", "before_pipe", "pipe_failed", "run_failed"]


# Cancelling


def assert_cancelled(caught, events, statuses):
    report = caught.value.report
    assert report.status == "cancelled"
    assert [one.status for one in report.pipes] == statuses
    (failed,) = fields_of(events, "datapipes.run_failed")
    assert failed["error_type"] == "Cancelled"
    assert names(events)[-1] == "run_failed"


@pytest.mark.parametrize("use_graph", [True, False])
def test_cancelling_lets_the_running_pipe_end_and_skips_the_rest(use_graph):
    executer, events, ids = setup(
        pipe("a", [], "x", lambda: executer.cancel() or 1), pipe("b", ["x"], "y"), pipe("c", ["y"])
    )
    with pytest.raises(RunFailed, match="cancelled") as caught:
        executer.run_datapipes(ids, use_graph=use_graph)
    assert_cancelled(caught, events, ["succeeded", "skipped", "skipped"])
    assert {one["reason"] for one in fields_of(events, "datapipes.pipe_skipped")} == {"cancelled"}


def test_an_executer_runs_again_after_it_was_cancelled():
    executer, _, ids = setup(pipe("a", [], "x", lambda: executer.cancel() or 1), pipe("b", ["x"]))
    with pytest.raises(RunFailed):
        executer.run_datapipes(ids)
    assert executer.run_datapipes(["a"]).status == "succeeded"


def test_cancelling_during_the_last_pipe_changes_nothing():
    executer, _, _ = setup(pipe("a", execute=lambda: executer.cancel()))
    assert executer.run_datapipes(["a"]).status == "succeeded"


def test_a_run_that_was_cancelled_before_it_began_runs_nothing():
    request = RunRequest()
    request.cancelled.set()
    executer, events, ids = setup(pipe("a"), pipe("b"))
    with pytest.raises(RunFailed) as caught:
        executer.run_datapipes(ids, request=request)
    assert_cancelled(caught, events, ["skipped", "skipped"])


def test_cancelling_reaches_every_run_that_is_under_way_and_no_later_one():
    meet, statuses = threading.Barrier(3), []

    def wait(**inputs):
        meet.wait(30)
        meet.wait(30)
        return 1

    executer, _, ids = setup(pipe("a", [], "x", wait), pipe("b", ["x"]), pipe("later"))

    def run():
        try:
            executer.run_datapipes(ids[:2])
        except RunFailed as error:
            statuses.append(error.report.status)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    meet.wait(30)
    executer.cancel()
    assert executer.run_datapipes(["later"]).status == "succeeded"
    meet.wait(30)
    for thread in threads:
        thread.join(30)
    assert statuses == ["cancelled", "cancelled"]


def interrupt(**inputs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("use_graph", [True, False])
def test_an_interrupt_on_the_calling_thread_ends_the_run_as_cancelled(use_graph):
    executer, events, ids = setup(pipe("a", [], "x", interrupt), pipe("b", ["x"]))
    with pytest.raises(RunFailed) as caught:
        executer.run_datapipes(ids, use_graph=use_graph)
    assert_cancelled(caught, events, ["failed", "skipped"])


def test_a_real_ctrl_c_waits_for_the_running_pipes_and_skips_the_rest(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(
        textwrap.dedent(
            """
            import signal, threading
            from kindling_core.errors import RunFailed
            from kindling_core.pipes import DataPipesRegistry
            from kindling_core.run.executer import DataPipesExecuter

            registry, go_on = DataPipesRegistry(), threading.Event()
            both = threading.Barrier(2)

            def handle(number, frame):
                go_on.set()
                raise KeyboardInterrupt

            signal.signal(signal.SIGINT, handle)

            @registry.pipe("a", output="x")
            def a():
                both.wait(30)
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                go_on.wait(30)
                return 1

            @registry.pipe("b", output="y")
            def b():
                both.wait(30)
                go_on.wait(30)
                return 1

            @registry.pipe("c", inputs=["x", "y"])
            def c(x, y):
                pass

            try:
                DataPipesExecuter(registry).run_datapipes(["a", "b", "c"])
            except RunFailed as failed:
                print(failed.report.status, *(pipe.status for pipe in failed.report.pipes))
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["cancelled", "succeeded", "succeeded", "skipped"], done.stderr


def test_a_second_interrupt_gives_up_a_pipe_that_hangs_and_its_late_end_is_not_told(monkeypatch):
    go_on, ended, both = threading.Event(), threading.Event(), threading.Barrier(3, timeout=PATIENCE_SECONDS)

    class Interrupted(SystemClock):
        met = False

        def wait(self, bell, seconds):
            if both.n_waiting < 2 and not self.met:
                bell.wait(0.001)
                return
            if threading.current_thread() is not threading.main_thread():
                bell.wait(seconds)
                return
            if not self.met:
                self.met = True
                both.wait()
            raise KeyboardInterrupt

    def hang():
        both.wait()
        go_on.wait(PATIENCE_SECONDS)
        ended.set()
        return 1

    executer, events, ids = setup(
        pipe("a", [], "x", hang), pipe("b", [], "y", hang), pipe("c", ["x", "y"]), clock=Interrupted()
    )
    with pytest.raises(RunFailed) as caught:
        executer.run_datapipes(ids)
    assert_cancelled(caught, events, ["failed", "failed", "skipped"])
    assert caught.value.report.pipe("a").abandoned
    assert "can no longer write" in caught.value.report.pipe("a").error
    told = len(events)
    go_on.set()
    assert ended.wait(PATIENCE_SECONDS)
    assert len(events) == told
    check_endings(events, ids)


# Parallel


def test_independent_pipes_run_at_the_same_time():
    meet = threading.Barrier(2, timeout=PATIENCE_SECONDS)
    executer, _, ids = setup(*(pipe(one, execute=lambda: meet.wait() and None) for one in ("a", "b")))
    assert executer.run_datapipes(ids).status == "succeeded"


def test_without_networkx_a_run_gives_the_same_result_one_pipe_at_a_time(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    threads = set()

    def note(**inputs):
        threads.add(threading.get_ident())
        return 1

    executer, events, ids = setup(
        pipe("top", [], "t", note), pipe("l", ["t"], "l", note), pipe("r", ["t"], "r", note), pipe("e", ["l", "r"])
    )
    assert executer.run_datapipes(ids).status == "succeeded"
    assert len(threads) == 1
    assert [fields["pipe_ids"] for fields in fields_of(events, "execution.before_generation")] == [
        ["top"],
        ["l", "r"],
        ["e"],
    ]


def test_runs_of_one_executer_may_overlap():
    meet = threading.Barrier(2, timeout=PATIENCE_SECONDS)
    executer, events, ids = setup(pipe("a", [], "x", lambda: meet.wait() or 1), pipe("b", ["x"]))
    threads = [threading.Thread(target=executer.run_datapipes, args=(ids,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len({fields["run_id"] for fields in fields_of(events, "datapipes.after_run")}) == 2


def test_a_receiver_that_raises_does_not_change_a_run():
    executer, events, ids = setup(*DIAMOND)
    provider = BlinkerSignalProvider()
    executer.set_signal_provider(provider)
    for name in DataPipesExecuter.EMITS:
        provider.create_signal(name).connect(lambda sender, **fields: 1 / 0)
    assert executer.run_datapipes(ids).status == "succeeded"
    assert events == []


def test_in_strict_mode_a_receiver_that_raises_fails_the_run_with_one_ending_each():
    provider = BlinkerSignalProvider(strict=True)
    executer = DataPipesExecuter(registry_of(*DIAMOND), signal_provider=provider)
    events = recorded(provider)
    provider.create_signal("datapipes.after_pipe").connect(lambda sender, **fields: 1 / 0)
    with pytest.raises(RunFailed):
        executer.run_datapipes(["top", "left", "right", "end"])
    check_endings(events, ["top", "left", "right", "end"])


def check_endings(events, ids):
    """Each pipe and the run end once, starts come before endings, and the run's ending is last."""
    ended = [fields["pipe_id"] for name, fields in events if name in ENDINGS]
    assert sorted(ended) == sorted(ids)
    assert [name for name, _ in events if name in RUN_ENDINGS] == [events[-1][0]]
    seen_before = set()
    for name, fields in events:
        if name == "datapipes.before_pipe":
            seen_before.add(fields["pipe_id"])
        elif name in ENDINGS - {"datapipes.pipe_skipped"}:
            assert fields["pipe_id"] in seen_before


@st.composite
def jobs(draw):
    size = draw(st.integers(0, 8))
    pipes = []
    for node in range(size):
        inputs = [f"e{other}" for other in range(node) if draw(st.booleans())]
        fails = draw(st.integers(0, 9)) == 0
        pipes.append(pipe(f"p{node}", inputs, f"e{node}", fail if fails else None))
    return draw(st.permutations(pipes))


@settings(deadline=None)
@given(jobs(), st.integers(1, 4))
def test_any_run_gives_each_pipe_one_ending_and_starts_none_before_its_producers_ended(pipes, workers):
    executer, events, ids = setup(*pipes, max_workers=workers)
    try:
        report = executer.run_datapipes(ids)
    except RunFailed as failed:
        report = failed.report
    check_endings(events, ids)
    assert sorted(one.pipe_id for one in report.pipes) == sorted(ids)
    maker = {one.output_entity_id: one.pipe_id for one in pipes}
    inputs = {one.pipe_id: [maker[entity] for entity in one.input_entity_ids] for one in pipes}
    done = set()
    for name, fields in events:
        if name == "datapipes.before_pipe":
            assert done.issuperset(inputs[fields["pipe_id"]])
        elif name == "datapipes.after_pipe":
            done.add(fields["pipe_id"])
    assert (report.status == "succeeded") is (not any(one.execute is fail for one in pipes))
