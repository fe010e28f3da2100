"""`python -m support.limited_app FOLDER …`: the inference app, whose memory is what a `MemoryTree` in that folder says.

The rest of the command line is that of `framepilot-app`.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from framepilot_app import app
from framepilot_app.cli import main

if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    app.rooms = functools.partial(app.rooms, proc=folder / "proc", cgroups=folder / "cgroups")
    main()
