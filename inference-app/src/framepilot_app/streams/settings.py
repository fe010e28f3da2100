"""What a reader reads, how fast, and as whom."""

from __future__ import annotations

from dataclasses import dataclass

from framepilot_app.credentials import NO_CREDENTIALS, Credentials


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """What to read and how fast; services with equal settings can share a reader.

    `fps` caps the rate. In real time it leaves surplus frames out before they are decoded to pictures: they are not
    ingested, have no sequence number and are not drops. Without `realtime` it paces the source and leaves nothing out.
    Live sources have a time-out, for opening as for every frame, and log in with the credentials of `login_name`.
    """

    source: str
    fps: float | None = None
    loop: bool = False
    realtime: bool = True
    transport: str = "tcp"
    timeout_s: float = 5.0
    credentials: Credentials = NO_CREDENTIALS
    login_name: str = ""
