"""How many frames a video file really has, found by decoding it: the yardstick for loss measured from outside.

`python -m framepilot_app.streams.count FILE...` prints `{"FILE": frames}` as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from framepilot_app.streams.file import FileSource
from framepilot_app.streams.source import SourceError


def count_frames(path: Path) -> int:
    """The number of frames that decoding the file gives.

    Raises:
        SourceError: it does not exist or is not a video.
    """
    source = FileSource(path)
    try:
        frames = 0
        while source.skip():
            frames += 1
        return frames
    finally:
        source.close()


def main(arguments: Sequence[str]) -> int:
    """Print the counts of all files; 1, and a message, if one cannot be counted."""
    try:
        counts = {argument: count_frames(Path(argument)) for argument in arguments}
    except SourceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(counts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
