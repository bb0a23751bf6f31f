"""What a run is asked for and what it asks of plugins: plain values that a hook reads, and a wrapper may alter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kindling_core.run.cancellation import CancelToken
from kindling_core.run.fence import Fence

if TYPE_CHECKING:
    from kindling_core.pipes import PipeMetadata


@dataclass(frozen=True)
class RunRequest:
    """What somebody asks of a run, before it is planned.

    Attributes:
        selection: the expressions that choose its pipes; empty for all pipes of the job.
        resumes: the run to continue, None for a new run.
        root_run_id: the first run in the chain of runs that continue each other; None for a new run.
        wait: wait for a run that is in the way, instead of refusing this run.
        afresh: start anew, whatever an earlier run of the job has left.
        cancelled: cancels the run, also before it has begun.
        options: what was given for the options of ``kindling run`` that plugins add: name -> value.
        option_defaults: the values of those options that were not given: name -> value.
    """

    selection: Sequence[str] = ()
    resumes: str | None = None
    root_run_id: str | None = None
    wait: bool = False
    afresh: bool = False
    cancelled: CancelToken = field(default_factory=CancelToken, compare=False, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    option_defaults: Mapping[str, object] = field(default_factory=dict)

    def as_run(self, run_id: str, mode: str, pipe_ids: Sequence[str]) -> RunInfo:
        """Return the run that this request has become."""
        return RunInfo(
            run_id,
            mode,
            pipe_ids,
            selection=self.selection,
            resumes=self.resumes,
            root_run_id=(self.root_run_id or "") if self.resumes is not None else "",
            wait=self.wait,
            afresh=self.afresh,
            cancelled=self.cancelled,
            options={**self.option_defaults, **self.options},
            option_defaults={name: value for name, value in self.option_defaults.items() if name not in self.options},
        )


@dataclass(frozen=True)
class Continuation:
    """That a run continues an earlier run, as ``kindling_claim_run`` says.

    Attributes:
        run_id: the run to continue.
        root_run_id: the first run in the chain of runs that continue each other.
        options: take the place of the options of this run: name -> value.
    """

    run_id: str
    root_run_id: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class RunInfo:
    """A planned execution of a job, as the hooks see it.

    Attributes:
        run_id: unique; ids made later sort later.
        mode: "batch", "streaming" or "hybrid".
        pipe_ids: the pipes of the run in plan order.
        selection: the expressions that chose them; empty for all pipes of the job.
        resumes: the run that this run continues, None for a new run.
        root_run_id: the first run in the chain of runs that continue each other; its own id for a new run.
        wait: wait for a run that is in the way, instead of refusing this run.
        afresh: start anew, whatever an earlier run of the job has left.
        cancelled: set once this run has to end. A hook that waits uses ``cancelled.wait(seconds)``, and
            ``cancelled.set()`` cancels the run.
        options: values for the options of ``kindling run`` that plugins add: name -> value. A run that continues
            another has those of that run, as JSON carries them, but for those that are given anew.
        option_defaults: the values of those options that were not given; ``options`` has them, too.
    """

    run_id: str
    mode: str
    pipe_ids: Sequence[str] = ()
    selection: Sequence[str] = ()
    resumes: str | None = None
    root_run_id: str = ""
    wait: bool = False
    afresh: bool = False
    cancelled: CancelToken = field(default_factory=CancelToken, compare=False, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    option_defaults: Mapping[str, object] = field(default_factory=dict)

    @property
    def given_options(self) -> dict[str, object]:
        """What was given for options when the run was asked for."""
        return {name: value for name, value in self.options.items() if name not in self.option_defaults}

    def __post_init__(self) -> None:
        if not self.root_run_id:
            object.__setattr__(self, "root_run_id", self.run_id)

    def continuing(self, earlier: Continuation) -> RunInfo:
        """Return this run as the continuation of an earlier run."""
        return replace(
            self,
            resumes=earlier.run_id,
            root_run_id=earlier.root_run_id,
            options={**self.options, **earlier.options},
            option_defaults={
                name: value for name, value in self.option_defaults.items() if name not in earlier.options
            },
        )

    def transaction(self, pipe_id: str) -> tuple[str, int]:
        """Return the transaction id of a pipe's write: the same for every attempt and every run that continues this."""
        return f"{self.root_run_id}/{pipe_id}", 1


@dataclass
class ReadRequest:
    """An input of a pipe. Mutable on purpose: a wrapper narrows a read by changing its fields.

    Attributes:
        entity_id: without a version suffix.
        version: read the table as of this version (``entity@v3``); None is the newest. Whoever reads sets it to the
            version that was read, where that is known; the report of the run has it.
        start_version: with ``version``, read only the changes of (start_version, version].
        appends: with ``start_version``, read the rows that these versions added to a table that only grows, also of a
            table without a record of its changes. Fails where one of the versions did more than add rows.
        columns: read only these; None is all.
        storage_level: where to keep the frame, from the plan, if several pipes of the run read this entity, else None.
        cache_always: keep the frame at that level whether or not that pays.
    """

    entity_id: str
    pipe: PipeMetadata
    run: RunInfo
    version: int | None = None
    start_version: int | None = None
    columns: Sequence[str] | None = None
    storage_level: str | None = None
    cache_always: bool = False
    appends: bool = False


@dataclass(frozen=True)
class VersionRange:
    """The versions of an input that are read: those after ``start_version``, up to and with ``end_version``.

    Attributes:
        appends: read the rows that these versions added to a table that only grows, in place of their changes; see
            ``ReadRequest.appends``.
    """

    start_version: int
    end_version: int
    appends: bool = False


@dataclass(kw_only=True)
class WriteOptions:
    """What is asked of the commit of a write.

    Attributes:
        transaction: (application id, sequence number); an engine commits each pair at most once per table.
        transactions: further ids of the same commit; storage that cannot keep several in a commit refuses them.
        skip_empty: where the value has no rows, nothing is committed: no new version, and no table where there is none.
            An overwrite then keeps the rows of the table.
        commit_metadata: kept in the commit itself and read again with it. Names that begin with ``kindling.`` belong to
            Kindling and its plugins.
    """

    transaction: tuple[str, int] | None = None
    transactions: Sequence[tuple[str, int]] = ()
    skip_empty: bool = False
    commit_metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass
class WriteRequest(WriteOptions):
    """What a pipe returned for its output, and what is asked of its commit.

    Attributes:
        deletes: of a merge: a frame with the keys of rows that the same commit removes, unless the value has them.
        mode: overrides the write mode that the entity declares.
        fence: stands before the commit. Whoever commits does so within ``with fence.committing():``, which raises
            where the pipe was given up meanwhile.
    """

    entity_id: str
    value: Any
    pipe: PipeMetadata
    run: RunInfo
    mode: str | None = None
    fence: Fence = field(default_factory=Fence)
    deletes: Any = None


@dataclass(frozen=True)
class ReadResult:
    """What a read gave.

    Attributes:
        version: of the table, where it is known.
        start_version: only the changes after this version were read; None: the table as it stood.
    """

    value: Any
    version: int | None = None
    start_version: int | None = None


@dataclass(frozen=True)
class WriteResult:
    """How a write ended.

    Attributes:
        rows: rows inserted, updated and deleted together; None where the engine does not know.
        version: the table version that the write made, None where the storage has no versions.
        note: a line for the report of the run, such as what was left out.
        details: plain values for the report of the run, each name of its own feature.
        durable: it is still there once the process has ended, so that a resumed run need not write it again.
    """

    rows: int | None = None
    version: int | None = None
    note: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    durable: bool = True
