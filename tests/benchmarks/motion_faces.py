"""What the last frame that was run tells of the faces in the frames after it, which were not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from framepilot_app.frames import Box

SAME = 0.5
"""Intersection over union from which two boxes show the same."""

Found = Mapping[int, Sequence[Box]]
"""The boxes of the frames that were run, by number."""


def evenly(every: Found, frames: int) -> Iterator[tuple[int, Sequence[Box]]]:
    """So many frames, the first among them, at equal distances."""
    for index in range(frames):
        number = index * len(every) // frames
        yield number, every[number]


def followed(every: Found, run: Found) -> tuple[float, int]:
    """The share of all detections that the last frame run has, too, and for how many frames one was missed at most."""
    last: Sequence[Box] = ()
    before: list[tuple[Box, int]] = []
    detections = found = longest = 0
    for number in sorted(every):
        last = run.get(number, last)
        boxes = every[number]
        there = _matched(boxes, last)
        earlier = _matched(boxes, [box for box, _ in before])
        now = []
        for index, box in enumerate(boxes):
            missed = 0 if index in there else 1 + (before[earlier[index]][1] if index in earlier else 0)
            longest = max(longest, missed)
            now.append((box, missed))
        detections, found, before = detections + len(boxes), found + len(there), now
    return found / detections if detections else 1.0, longest


def _matched(boxes: Sequence[Box], others: Sequence[Box]) -> dict[int, int]:
    """By index of a box: that of the other one which shows the same; the most alike first, each once."""
    pairs = sorted(
        (
            (_overlap(box, other), index, at)
            for index, box in enumerate(boxes)
            for at, other in enumerate(others)
            if box.label == other.label
        ),
        reverse=True,
    )
    matched: dict[int, int] = {}
    for overlap, index, at in pairs:
        if overlap >= SAME and index not in matched and at not in matched.values():
            matched[index] = at
    return matched


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other)]
    return width * height / (sum(areas) - width * height)
