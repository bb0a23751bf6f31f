"""``kindling quarantine``: lists, releases and purges rows that expectations or reads of a source kept out."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import click

from kindling_core.cli import Age, CommandContext, job_options, json_option
from kindling_entities.commands.opened_store import opened_store
from kindling_entities.declare.reserved import QUARANTINED_AT
from kindling_entities.quarantine.reasons import Reasons
from kindling_entities.quarantine.release import ACCEPTED, Quarantine, plain, quarantines
from kindling_entities.store import EntityStore


@click.group()
def quarantine() -> None:
    """Look into quarantines, release their rows, or remove them."""


@quarantine.command("list")
@click.argument("entity", required=False)
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="At most this many rows.")
@json_option
@job_options
@click.pass_obj
def list_rows(context: CommandContext, entity: str | None, limit: int) -> None:
    """List quarantined rows, or every quarantine of the job."""
    store = opened_store(context)
    if entity is None:
        _list_all(context, store)
        return
    kept = Quarantine(store, entity)
    reasons, source = Reasons(kept.entity), kept.entity.read_only
    with store.engine.held(kept.frame()) as rows:
        total = rows.count()
        accepted = rows.where(ACCEPTED).count() if kept.entity.keys and not source else None
        counts = kept.reasons(rows)
        # All rows of the same read have the same time.
        newest = rows.orderBy(rows[QUARANTINED_AT].desc(), *(["file", "line"] if source else [])).limit(limit)
        shown = plain(store.engine.to_reader(newest).read_all().to_pylist(), reasons)
    gone = [name for name in counts if name not in reasons.names] if not source else []
    data = {
        "entity_id": kept.entity.entity_id,
        "rows": total,
        "accepted": accepted,
        "reasons": counts,
        "no_longer_declared": gone,
        "list": shown,
    }
    columns, more = kept.columns, [] if source else ["accepted"]
    cells = [
        [
            entry["quarantined_at"],
            "; ".join(entry["reasons"]),
            *(_yes(entry[name]) for name in more),
            *(entry["row"][name] for name in columns),
        ]
        for entry in shown
    ]
    context.emit(data, context.table(["quarantined_at", "reason", *more, *columns], cells))
    summary = "; ".join(f"{name}: {count}" for name, count in counts.items()) or "none"
    context.messages.print(f"{total} row(s) in {kept.name}. {summary}", markup=False)
    if accepted:
        context.messages.print(f"{accepted} of them have a key that was accepted since.", markup=False)
    if gone:
        context.messages.print(f"No longer declared: {'; '.join(gone)}.", markup=False)


def _list_all(context: CommandContext, store: EntityStore) -> None:
    data: list[dict[str, Any]] = []
    for name in quarantines(store):
        kept = Quarantine(store, name)
        data.append({"entity_id": kept.entity.entity_id, "rows": kept.count(), "reasons": kept.reasons()})
    cells = [
        [entry["entity_id"], entry["rows"], "; ".join(f"{name}: {count}" for name, count in entry["reasons"].items())]
        for entry in data
    ]
    context.emit(data, context.table(["entity_id", "rows", "reasons"], cells))


def _yes(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


@quarantine.command()
@click.argument("entity")
@click.option(
    "--accepted",
    type=click.Choice(["skip", "drop", "write"]),
    default="skip",
    show_default=True,
    help="Rows whose key was accepted since: leave them, remove them from the quarantine, or write them all the same.",
)
@json_option
@job_options
@click.pass_obj
def retry(context: CommandContext, entity: str, accepted: str) -> None:
    """Release the rows that meet the expectations of now."""
    kept = Quarantine(opened_store(context), entity)
    done = kept.retry(accepted)
    data = {"entity_id": kept.entity.entity_id, **vars(done)}
    names = ["entity_id", "released", "failing", "accepted", "dropped", "older", "unclear", "version"]
    context.emit(data, context.table(names, [[data[name] for name in names]]))
    say = context.messages.print
    if done.accepted > done.dropped:
        say(
            f"{done.accepted - done.dropped} row(s) are left, since their key was accepted after them: --accepted drop "
            "removes them, --accepted write writes them over what was accepted."
        )
    if done.older:
        say(
            f"{done.older} row(s) are left, since a newer row of their key is in the quarantine. Run it again for them."
        )
    if done.unclear:
        say(
            f"{done.unclear} row(s) are left, since their key is null or other rows of it are just as new. Choose in a "
            f"pipe that reads {kept.name}.",
            markup=False,
        )


@quarantine.command()
@click.argument("entity")
@click.option("--older-than", type=Age(), help="Rows quarantined longer ago than this, such as 30d, 12h or 90m.")
@click.option(
    "--reason",
    help="Rows that did not meet the expectation of this name; of a source, with a reason that list counts.",
)
@click.option("--accepted", is_flag=True, help="Rows whose key was accepted since.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@job_options
@click.pass_obj
def purge(
    context: CommandContext, entity: str, older_than: timedelta | None, reason: str | None, accepted: bool, yes: bool
) -> None:
    """Remove rows from a quarantine: all, or those that fit every option."""
    store = opened_store(context)
    kept = Quarantine(store, entity)
    kept.finish()
    before = None if older_than is None else datetime.now(timezone.utc) - older_than
    with store.engine.held(kept.frame(reason, before, accepted, look_up_accepted=False)) as rows:
        found = rows.count()
        if found and not yes:
            click.confirm(f"Remove {found} of {kept.count()} row(s) from {kept.name}?", abort=True, err=True)
        removed = kept.purge(rows) if found else 0
    left = kept.count()
    data = {"entity_id": kept.entity.entity_id, "removed": removed, "left": left}
    context.emit(data, context.table(list(data), [list(data.values())]))
    if kept.entity.read_only and kept.entity.quarantine is not None and removed:
        context.messages.print("What is still in the files, and still cannot be read, comes back with the next run.")
