"""Names of columns that the plugin adds to tables, so that no column of a user's may have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindling_entities.declare.entity import EntityDefinition

VALID_FROM, VALID_TO, IS_CURRENT, ROW_HASH = "valid_from", "valid_to", "is_current", "row_hash"
COLUMNS = (VALID_FROM, VALID_TO, IS_CURRENT, ROW_HASH)
# Of a row in a quarantine: which expectations or files kept it out, when, and the digest that identifies it.
REASON, QUARANTINED_AT, QUARANTINE_KEY = "_quarantine_reason", "_quarantined_at", "_quarantine_key"
# Of columns that merges need beside those of the user.
OWN_PREFIX = "_kindling_"


def taken(names: Iterable[str], entity: EntityDefinition) -> list[str]:
    """Those of the names that a merge into this entity makes columns of; a table ignores case.

    Args:
        names: of columns that a user declares or returns.
    """
    made = {entity.surrogate_key.lower()} if entity.surrogate_key else set()
    if entity.scd == 2:
        made.update(COLUMNS)
    return [name for name in names if name.lower() in made or name.lower().startswith(OWN_PREFIX)]
