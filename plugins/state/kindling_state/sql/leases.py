"""Leases with fencing tokens."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, cast

from sqlalchemy import Connection, collate, delete, select, update
from sqlalchemy.engine import Row

from kindling_core.state import HeldLease, Lease, Owner, StateStore, hold_lease
from kindling_state.processes import is_dead, this_process
from kindling_state.sql.part import Refused, SqlPart, chunks
from kindling_state.sql.tables import COUNTERS, LEASES

_TOKENS = "lease tokens"


class SqlLeases(SqlPart):
    """Implements the part of ``StateStore`` that keeps leases."""

    def acquire(self, names: Collection[str], owner: Owner, ttl_seconds: float) -> list[Lease]:
        # In the same order everywhere, so that two who want the same leases do not wait for each other.
        wanted = sorted(set(names))
        held: list[Lease] = []
        try:
            with self.database.writing("taking leases") as connection:
                now = self._now(connection)
                fresh = {**_columns_of(owner), "expires": 0.0}
                anew: list[str] = []
                for chunk in chunks(wanted):
                    rows = [{"name": name, **fresh} for name in chunk]
                    # An update, although it changes nothing: it locks the row that is there already, so that its
                    # owner cannot remove it before it is read below. DO NOTHING locks nothing.
                    made = self._insert(LEASES)
                    made = made.on_conflict_do_update(index_elements=["name"], set_={"name": made.excluded.name})
                    connection.execute(made, rows)
                    for row in self._leases(connection, chunk, lock=True):
                        if not self._is_held(row, now):
                            anew.append(row.name)
                        elif row.owner_id != owner.owner_id:
                            held.append(_lease(row))
                if held:
                    raise Refused
                for chunk in chunks(wanted):
                    mine = {**_columns_of(owner), "expires": now + ttl_seconds}
                    connection.execute(update(LEASES).where(LEASES.c.name.in_(chunk)).values(**mine))
                token = self._next_token(connection) if anew else 0
                for chunk in chunks(anew):
                    connection.execute(update(LEASES).where(LEASES.c.name.in_(chunk)).values(token=token))
        except Refused:
            return held
        return []

    def renew(self, names: Collection[str], owner_id: str, ttl_seconds: float) -> bool:
        wanted = sorted(set(names))
        try:
            with self.database.writing("renewing leases") as connection:
                expires = self._now(connection) + ttl_seconds
                kept = 0
                for chunk in chunks(wanted):
                    self._leases(connection, chunk, lock=True)
                    mine = LEASES.c.name.in_(chunk), LEASES.c.owner_id == owner_id
                    kept += connection.execute(update(LEASES).where(*mine).values(expires=expires)).rowcount
                if kept != len(wanted):
                    raise Refused
        except Refused:
            return False
        return True

    def release(self, names: Collection[str], owner_id: str) -> None:
        with self.database.writing("giving leases back") as connection:
            for chunk in chunks(sorted(set(names))):
                self._leases(connection, chunk, lock=True)
                connection.execute(delete(LEASES).where(LEASES.c.name.in_(chunk), LEASES.c.owner_id == owner_id))

    def holders(self, names: Collection[str]) -> list[Lease]:
        with self.database.reading("reading leases") as connection:
            if connection is None:
                return []
            now = self._now(connection)
            rows = [row for chunk in chunks(sorted(set(names))) for row in self._leases(connection, chunk)]
        return [_lease(row) for row in rows if self._is_held(row, now)]

    def hold(self, name: str, ttl_seconds: float, *, description: str = "") -> AbstractContextManager[HeldLease]:
        host, pid, started = this_process()
        owner_id = f"hold:{uuid.uuid4().hex}"
        description = description or f"process {pid} on {host.partition('/')[0]}"
        return hold_lease(cast(StateStore, self), name, Owner(owner_id, host, pid, started, description), ttl_seconds)

    def _next_token(self, connection: Connection) -> int:
        """Return the next fencing token: of the whole store, since a lease that was given back leaves no row."""
        # After the leases, and so in the same order for everybody: who waits here holds nothing that others wait for.
        made = self._insert(COUNTERS).values(name=_TOKENS, value=1)
        made = made.on_conflict_do_update(index_elements=["name"], set_={"value": COUNTERS.c.value + 1})
        return int(connection.execute(made.returning(COUNTERS.c.value)).scalar_one())

    def _leases(self, connection: Connection, names: Sequence[str], *, lock: bool = False) -> Sequence[Row[Any]]:
        # Locked in Python's order of strings, as acquire() inserts them; that of the database may be a dictionary's.
        postgres = connection.dialect.name == "postgresql"
        order = collate(LEASES.c.name, "C") if postgres else LEASES.c.name
        query = select(LEASES).where(LEASES.c.name.in_(names)).order_by(order)
        return connection.execute(query.with_for_update() if lock else query).all()

    @staticmethod
    def _is_held(row: Row[Any], now: float) -> bool:
        return bool(row.expires > now) and not is_dead(row.host, row.pid, row.started)


def _columns_of(owner: Owner) -> dict[str, object]:
    """Return an owner as its columns; that of the description has an older name."""
    columns = asdict(owner)
    columns["told"] = columns.pop("description")
    return columns


def _lease(row: Row[Any]) -> Lease:
    owner = Owner(row.owner_id, row.host, row.pid, row.started, row.told)
    expires = datetime.fromtimestamp(row.expires, timezone.utc).isoformat(timespec="seconds")
    return Lease(row.name, owner, expires, row.token)
