"""Settings for all tests: property tests try the same examples in every run, and none is judged by how long it takes.

`--hypothesis-profile=exploring` tries others.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("framepilot", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None)
settings.load_profile("framepilot")
