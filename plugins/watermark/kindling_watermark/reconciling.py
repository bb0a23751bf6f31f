"""Brings what is kept of a reader in line with what its output says of it."""

from __future__ import annotations

import logging
from dataclasses import replace

from kindling_entities import CommitInfo, EntityStore
from kindling_watermark.declare.options import FAIL, FULL_REFRESH, Declaration
from kindling_watermark.errors import OutputChanged, WatermarkLost
from kindling_watermark.manager import WatermarkManager
from kindling_watermark.ranges.news import brings_rows
from kindling_watermark.ranges.values import ReaderState
from kindling_watermark.records import Kept
from kindling_watermark.trace import Output, application, look_at

_log = logging.getLogger("kindling.watermark")


class Reconciler:
    """Compares records of readers with the logs of their outputs.

    Args:
        store: of the App, which has started.
        manager: what is kept of the readers.
    """

    def __init__(self, store: EntityStore, manager: WatermarkManager) -> None:
        self._store = store
        self._manager = manager

    def reconciled(
        self, declaration: Declaration, *, anew: bool = False, write: bool = True, kept: Kept | None = None
    ) -> tuple[Kept, str]:
        """Bring what is kept of a reader in line with what its output says.

        Args:
            kept: as it was fetched before; what follows is saved only if it is so still.
            anew: the output is computed anew, so that nothing is wrong with it.
            write: save what was found; False only looks.

        Returns:
            What is kept, and why the output has to be computed anew ("" if it has not).

        Raises:
            OutputChanged: the output was removed, made anew or set back.
            WatermarkLost: the output has rows that nothing accounts for.
        """
        reader, output = declaration.reader_id, declaration.output
        kept = self._manager.records.get(reader) if kept is None else kept
        state = kept.state
        found = look_at(self._store, output, reader, state.committed)
        trace = found.newest
        if found.reason:
            begun = state.intent is not None and state.intent.full
            if anew or begun:
                return kept, ""
            if declaration.on_rewrite == FAIL:
                raise OutputChanged(reader, output, found.reason)
            if declaration.on_rewrite == FULL_REFRESH:
                return kept, f"the output is not as it was left: {found.reason}"
            return self._adopted(declaration, kept, found, write), ""
        if trace is None:
            if state.committed is None and not state.watermarks and state.intent is None and not anew:
                return kept, self._unaccounted(declaration, found)
            return kept, ""
        if state.intent is not None and trace.did(state.intent):
            if write:
                self._manager.finish(reader, kept, trace.committed, None)
                return self._manager.records.get(reader), ""
            return Kept(state.done("", trace.committed), kept.version), ""
        ahead = trace.sequence > state.sequence
        if ahead or (state.intent is not None and trace.sequence >= state.intent.sequence):
            return self._adopted(declaration, kept, found, write), ""
        return kept, ""

    def _adopted(self, declaration: Declaration, kept: Kept, found: Output, write: bool) -> Kept:
        """Take over what the log of the output says."""
        trace, old = found.newest, kept.state
        if trace is None:
            # There is nothing to take over, and what is known of the sources goes on.
            state = replace(old, committed=None)
            reason = found.reason
        else:
            state = replace(trace.state(), sequence=max(trace.sequence, old.sequence))
            reason = f"read back from the log of {declaration.output}" + (f": {found.reason}" if found.reason else "")
        if not write:
            return Kept(state, kept.version)
        return self.save(declaration, kept, state, reason)

    def save(self, declaration: Declaration, kept: Kept, state: ReaderState, reason: str) -> Kept:
        """Save a state that something else than progress has led to, and tell of the watermarks that it moves."""
        reader = declaration.reader_id
        saved: list[Kept] = []
        self._manager.saving(
            reader, kept.state, state, lambda: saved.append(self._manager.records.put(reader, state, kept.version))
        )
        for source, one in state.watermarks.items():
            before = kept.state.watermarks.get(source)
            if before is None or before.version != one.version:
                at = f"version {one.version}" if one.cursor is None else one.cursor["high"]
                _log.warning("Pipe %r: the watermark of %s is %s: %s.", reader, source, at, reason)
                self._manager.tell_reset(source, reader, before, one.version, reason)
        return saved[0]

    def _unaccounted(self, declaration: Declaration, found: Output) -> str:
        """Whether an output that nothing is known of may be written to; the reason for computing it anew."""
        if not found.exists:
            return ""
        reader, output = declaration.reader_id, declaration.output
        mine = application(reader)
        if self._store.newest_transaction(output, mine) == mine:
            what = "the pipe has written it, and the log that said what of its sources is in it was cleaned"
        elif self._appends(output) and self._holds_rows(output, reader):
            what = "it has rows, and no watermark tells whether they are of this pipe"
        else:
            return ""
        if declaration.on_rewrite == FULL_REFRESH:
            return what
        raise WatermarkLost(reader, output, what)

    def _appends(self, output: str) -> bool:
        return self._store.manager.get_entity_definition(output).write_mode == "append"

    def _holds_rows(self, output: str, reader: str) -> bool:
        """Whether a table has rows that are not known to be another pipe's."""
        info = self._store.describe(output)
        if info is not None and info.rows == 0:
            return False
        commits = self._store.commits(output)
        if not commits or commits[0].version > 0:
            # Of what was written before nothing is known.
            return True
        return any(brings_rows(commit) and not _of_another(commit, reader) for commit in commits)


def _of_another(commit: CommitInfo, reader: str) -> bool:
    """Whether a commit is known to be of another pipe."""
    owners = [one.app_id for one in commit.transactions]
    mine = (application(reader),)
    return bool(owners) and not any(owner in mine or owner.endswith(f"/{reader}") for owner in owners)
