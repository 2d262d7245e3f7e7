"""What all tests share: hypothesis draws the same examples in every run and watches no clock."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "lab", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lab")
