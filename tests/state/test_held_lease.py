"""``store.hold``: a lease for as long as a block lasts, with a fencing token."""

from __future__ import annotations

import threading
from collections.abc import Collection

import pytest

from kindling_core.clock import ManualClock
from kindling_core.state import Owner, StateConflict, StateError, hold_lease
from kindling_state.sql_store import SqlStateStore

PATIENCE_SECONDS = 60
NEVER = 100_000.0


def owner(name: str) -> Owner:
    return Owner(name, "elsewhere", 1, "1", f"the holder {name}")


def test_a_lease_is_held_while_the_block_lasts_and_others_learn_by_whom(store: SqlStateStore) -> None:
    with store.hold("compact:a", NEVER, description="the compaction of a") as lease:
        lease.check()
        assert lease.name == "compact:a"
        match = "'compact:a' is held by the compaction of a until"
        with pytest.raises(StateConflict, match=match), store.hold("compact:a", NEVER):
            pytest.fail("it was taken twice")
        with store.hold("compact:b", NEVER):
            pass
        (held,) = store.holders(["compact:a"])
        assert held.token == lease.token
    assert store.holders(["compact:a"]) == []


def test_each_taking_has_a_higher_token_and_extending_keeps_it(store: SqlStateStore, clock) -> None:  # type: ignore[no-untyped-def]
    tokens = []
    for _ in range(2):
        with store.hold("a", NEVER) as lease:
            tokens.append(lease.token)
    # It expires, and somebody else takes it.
    store.acquire(["a"], owner("one"), 30)
    tokens.append(store.holders(["a"])[0].token)
    store.acquire(["a"], owner("one"), 30)
    assert store.renew(["a"], "one", 30)
    assert store.holders(["a"])[0].token == tokens[-1]
    clock.now += 31
    store.acquire(["a", "b"], owner("two"), 30)
    tokens.append(store.holders(["a"])[0].token)
    clock.now += 31
    store.acquire(["a"], owner("two"), 30)
    tokens.append(store.holders(["a"])[0].token)
    assert tokens == sorted(set(tokens))


def test_of_many_who_hold_at_once_each_has_a_token_of_its_own(store: SqlStateStore) -> None:
    tokens: list[int] = []
    meet = threading.Barrier(6)

    def take(index: int) -> None:
        meet.wait(PATIENCE_SECONDS)
        with store.hold(f"lease:{index}", NEVER) as lease:
            tokens.append(lease.token)

    threads = [threading.Thread(target=take, args=(index,), daemon=True) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(set(tokens)) == 6


class Watched(SqlStateStore):
    """A store that says when a lease was renewed."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.renewed = threading.Semaphore(0)

    def renew(self, names: Collection[str], owner_id: str, ttl_seconds: float) -> bool:
        kept = super().renew(names, owner_id, ttl_seconds)
        self.renewed.release()
        return kept


def test_it_is_renewed_while_the_block_lasts(url: str, clock) -> None:  # type: ignore[no-untyped-def]
    store, process = Watched(url, clock), ManualClock()
    with hold_lease(store, "a", owner("one"), 30, clock=process):
        for _ in range(5):
            clock.now += 20
            process.elapse(10)
            assert store.renewed.acquire(timeout=PATIENCE_SECONDS)
        assert [lease.owner.owner_id for lease in store.holders(["a"])] == ["one"]
    store.close()


def test_a_lease_that_was_lost_is_an_error_within_the_block_and_at_its_end(store: SqlStateStore, clock) -> None:  # type: ignore[no-untyped-def]
    checked: list[str] = []

    def work() -> None:
        with store.hold("a", 3_600, description="me") as lease:
            clock.now += 3_601
            assert store.acquire(["a"], owner("thief"), 600) == []
            lease._keeper.renew()
            try:
                lease.check()
            except StateConflict as error:
                checked.append(str(error))

    with pytest.raises(StateConflict, match="'a' of me is lost: somebody else has taken it") as caught:
        work()
    assert checked == [str(caught.value)]
    assert [held.owner.owner_id for held in store.holders(["a"])] == ["thief"], "what is another's is not given back"


def test_what_the_block_raises_is_what_is_raised(store: SqlStateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(names: Collection[str], owner_id: str) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(store, "release", broken)
    with pytest.raises(ZeroDivisionError), store.hold("a", NEVER):
        raise ZeroDivisionError


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_that_is_none_is_refused(store: SqlStateStore, seconds: float) -> None:
    with pytest.raises(ValueError, match="give a time above 0"), store.hold("a", seconds):
        pytest.fail("it was taken")
