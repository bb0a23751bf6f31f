"""A time limit for every test, and none for the examples of a property: machines are shared and slow at times."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

SLOW_SECONDS = 3600

settings.register_profile("kindling", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kindling")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests a longer limit than the one of pyproject.toml, unless they set their own."""
    for item in items:
        if item.get_closest_marker("slow") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
