"""The declared policy of a table's maintenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kindling_core.errors import did_you_mean


@dataclass(frozen=True)
class MaintenancePolicy:
    """How a table is kept fast and small.

    Attributes:
        compact: merge small files into files of about ``target_file_mb``.
        order_by: order rows along a Z-curve over these columns, in place of plain compaction. It rewrites the table.
        vacuum: remove files that no version of the last ``retention_hours`` needs. Older versions cannot be read
            afterwards, and a run that is older than this may lose the files that it is writing.
    """

    compact: bool = True
    target_file_mb: int = 128
    order_by: tuple[str, ...] = ()
    vacuum: bool = True
    retention_hours: int = 168

    @property
    def target_file_bytes(self) -> int:
        """The size that files should have."""
        return self.target_file_mb * 1024 * 1024

    @property
    def rewrites(self) -> bool:
        """Whether files are rewritten at all."""
        return self.compact or bool(self.order_by)

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> MaintenancePolicy:
        """Make a policy of plain values.

        Raises:
            ValueError: an unknown name or an impossible value.
        """
        for name in declared:
            if name not in cls.__dataclass_fields__:
                raise ValueError(
                    f"maintenance has no {name!r}.{did_you_mean(name, cls.__dataclass_fields__)} "
                    f"Known: {', '.join(cls.__dataclass_fields__)}"
                )
        given = dict(declared)
        order = given.get("order_by", ())
        given["order_by"] = (order,) if isinstance(order, str) else tuple(order)
        policy = cls(**given)
        for name, least in (("target_file_mb", 1), ("retention_hours", 0)):
            value = getattr(policy, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"maintenance {name} is {value!r}; a whole number of at least {least} is needed")
        return policy
