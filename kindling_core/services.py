"""What features offer to each other and to the user: objects by their type."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kindling_core.errors import PluginError
from kindling_core.logs import Log
from kindling_core.secrets import Redactor, describe_error

Service = TypeVar("Service")

_log = Log("kindling.app")


class Services:
    """The services of an App; safe on any thread.

    Args:
        redact: masks secrets in what is logged.
    """

    def __init__(self, redact: Callable[[str], str] | None = None) -> None:
        self._redact = redact or Redactor()
        self._lock = threading.Lock()
        self._offered: dict[type, Any] = {}
        self._makers: dict[type, Callable[[], Any]] = {}
        self._made: list[Any] = []

    def offer(self, kind: type[Service], service: Service) -> None:
        """Offer an object."""
        with self._lock:
            self._offered[kind] = service

    def offer_lazily(self, makers: Mapping[type, Callable[[], Any]]) -> None:
        """Offer objects that are made when somebody asks for them.

        Of two threads that ask at once both may make an object; the first that is made is offered.
        """
        with self._lock:
            self._makers.update(makers)

    def get(self, kind: type[Service]) -> Service | None:
        """Return the object of this type; None if nobody offers it."""
        with self._lock:
            maker = None if kind in self._offered else self._makers.get(kind)
        if maker is not None:
            # Without the lock: what a feature makes may ask for other services, on any thread.
            made = maker()
            with self._lock:
                if self._offered.setdefault(kind, made) is made and made not in self._made:
                    self._made.append(made)
        with self._lock:
            service: Service | None = self._offered.get(kind)
        return service

    def names(self) -> list[str]:
        """Return the names of the types that are offered."""
        with self._lock:
            return sorted(kind.__name__ for kind in {**self._offered, **self._makers})

    def close(self) -> None:
        """Close what was made lazily and has a ``close``: it may have been opened without the App having started."""
        with self._lock:
            made, self._made = self._made, []
        for service in made:
            close = getattr(service, "close", None)
            if close is None:
                continue
            try:
                close()
            except Exception as error:  # noqa: BLE001 - what a feature offers must not keep the others open
                trace = describe_error(error, self._redact)
                _log.error("A %s could not be closed.\n%s", type(service).__name__, trace)


def missing(kind: type, offered: list[str], active: str) -> PluginError:
    """Return the error that says that nobody offers this type."""
    return PluginError(
        f"No active feature offers {kind.__name__}. Offered here: {', '.join(offered) or 'nothing'}. "
        f"Active features: {active}."
    )
