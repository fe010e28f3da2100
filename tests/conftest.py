"""Settings for all tests: no example of a property test is judged by how long it takes."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("framepilot", deadline=None)
settings.load_profile("framepilot")
