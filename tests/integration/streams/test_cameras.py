"""Live sources against real servers, which are killed, frozen, restarted, slow and broken."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from framepilot.contract.observed import StreamState
from framepilot_app.credentials import Credentials
from framepilot_app.streams.live import LiveReader
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.synthetic import SyntheticSettings, SyntheticSource, read_number
from support import gstreamer
from support.cameras.process import CameraProcess, rtsp_camera, web_camera
from support.eventually import eventually

pytestmark = pytest.mark.timeout(300)

needs_rtsp = pytest.mark.skipif(gstreamer.missing(), reason="there is no GStreamer RTSP server: make servers")
TIMEOUT_S = 3.0
"""Enough for RTSP to be opened on a busy machine."""


class Watcher:
    """Remembers what came, and the burned-in numbers where there are some."""

    def __init__(self) -> None:
        self.offers: list[tuple[int, int]] = []
        self.shapes: set[tuple[int, ...]] = set()
        self.numbers: list[int | None] = []

    def offer(self, image, epoch, sequence, captured_at, captured_unix) -> None:
        try:
            number = read_number(image)
        except ValueError:
            number = None
        self.numbers.append(number)
        self.shapes.add(image.shape)
        self.offers.append((epoch, sequence))

    def ended(self, reason) -> None:
        raise AssertionError("a live source does not end")

    def epochs(self) -> list[int]:
        return sorted({epoch for epoch, _ in self.offers})

    def gap_free(self) -> bool:
        """Whether every epoch counts from 0 without a gap."""
        return all(
            [sequence for epoch, sequence in self.offers if epoch == each]
            == list(range(sum(epoch == each for epoch, _ in self.offers)))
            for each in self.epochs()
        )


@pytest.fixture
def camera():
    """Starts servers, and ends them."""
    started: list[CameraProcess] = []

    def start(kind: Callable[..., CameraProcess], *options: str) -> CameraProcess:
        started.append(kind(*options))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def watch():
    """Begins to read; ends it with the test."""
    readers: list[LiveReader] = []

    def begin(uri: str, *, timeout_s: float = TIMEOUT_S, **settings) -> tuple[LiveReader, Watcher]:
        reader = LiveReader(ReaderSettings(uri, timeout_s=timeout_s, **settings), jitter=lambda: 0.0)
        watcher = Watcher()
        reader.add(watcher)
        reader.start()
        readers.append(reader)
        return reader, watcher

    yield begin
    for reader in readers:
        reader.stop()


def come(watcher: Watcher, frames: int = 10) -> None:
    wanted = len(watcher.offers) + frames
    eventually(lambda: len(watcher.offers) >= wanted, f"{frames} frames")


def stalls(reader: LiveReader) -> str:
    eventually(lambda: reader.status().state is StreamState.STALLED, "the stall to be said")
    return reader.status().reason or ""


def web(server: CameraProcess, path: str = "motion") -> str:
    return f"http://127.0.0.1:{server.port}/{path}"


def rtsp(server: CameraProcess) -> str:
    return f"rtsp://127.0.0.1:{server.port}/main"


def udp_sockets() -> int:
    """How many this process has, by Linux' own account."""
    own = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return sum(f"socket:[{line.split()[9]}]" in own for line in lines)


def sockets_to(port: int) -> bool:
    """Whether there is a connection to this port of this machine."""
    return any(line.split()[2].endswith(f":{port:04X}") for line in Path("/proc/net/tcp").read_text().splitlines()[1:])


KINDS = [pytest.param(web_camera, web, id="http"), pytest.param(rtsp_camera, rtsp, id="rtsp", marks=needs_rtsp)]


@pytest.mark.parametrize(("kind", "uri"), KINDS)
def test_a_camera_that_is_killed_stalls_and_comes_back_in_a_new_epoch_when_it_is_started_again(
    camera, watch, kind, uri
):
    server = camera(kind)
    reader, watcher = watch(uri(server))
    come(watcher)
    server.kill()
    stalls(reader)
    eventually(lambda: "refuses connections" in (reader.status().reason or ""), "the reason")
    server.start()
    come(watcher)
    assert len(watcher.epochs()) == 2
    assert watcher.gap_free()
    assert reader.status().state is StreamState.RUNNING


@pytest.mark.parametrize(("kind", "uri"), KINDS)
def test_a_camera_that_freezes_is_noticed_and_watched_again_when_it_goes_on(camera, watch, kind, uri):
    server = camera(kind)
    reader, watcher = watch(uri(server))
    come(watcher)
    server.freeze()
    assert f"gave no frame for {TIMEOUT_S:g} s" in stalls(reader)
    server.thaw()
    come(watcher)
    assert watcher.gap_free()
    assert reader.status().hung == 0


def test_every_frame_of_a_camera_is_given_once_and_what_is_missing_was_in_the_dead_part(camera, watch):
    server = camera(web_camera)
    reader, watcher = watch(web(server))
    come(watcher, 30)
    server.freeze()
    stalls(reader)
    frozen_at = len(watcher.numbers)
    server.thaw()
    come(watcher, 30)
    before, after = watcher.numbers[:frozen_at], watcher.numbers[frozen_at:]
    for numbers in (before, after):
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@needs_rtsp
@pytest.mark.parametrize(("transport", "sockets"), [("tcp", False), ("udp", True)])
def test_rtsp_comes_by_the_transport_that_is_declared(camera, watch, transport, sockets):
    _, watcher = watch(rtsp(camera(rtsp_camera)), transport=transport)
    come(watcher)
    assert bool(udp_sockets()) is sockets


@needs_rtsp
def test_rtsp_goes_on_when_pictures_get_lost_and_when_their_size_changes(camera, watch):
    server = camera(rtsp_camera, "--loss", "0.2")
    reader, watcher = watch(rtsp(server), transport="udp")
    come(watcher, 30)
    server.signal(signal.SIGUSR1)
    come(watcher, 60)
    assert watcher.gap_free()
    assert reader.status().state is StreamState.RUNNING


@pytest.mark.parametrize("path", ["sizes", "corrupt"])
def test_motion_jpeg_goes_on_when_its_size_changes_and_when_pictures_are_damaged(camera, watch, path):
    reader, watcher = watch(web(camera(web_camera), path))
    come(watcher, 60)
    assert reader.status().reconnects == 0
    assert watcher.gap_free()
    assert None not in watcher.numbers


@needs_rtsp
def test_a_transport_that_the_camera_does_not_offer_is_said(camera, watch):
    reader, _ = watch(rtsp(camera(rtsp_camera, "--transport", "udp")), transport="tcp")
    eventually(lambda: "or not by tcp; try another transport" in (reader.status().reason or ""), "the reason")


def test_a_camera_that_is_slow_to_open_keeps_no_other_from_being_opened(camera, watch):
    frozen, sound = camera(web_camera), camera(web_camera)
    frozen.freeze()
    slow, _ = watch(web(frozen), timeout_s=60)
    eventually(lambda: sockets_to(frozen.port), "the opening to begin")
    _, watcher = watch(web(sound))
    come(watcher)
    assert slow.status().state is StreamState.CONNECTING


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "has nothing under this path (status 404)"),
        ("garbage", "with nothing that FFmpeg can decode"),
        ("silent", "could not be opened within 1 s"),
        ("trickle", "gave no frame for 1 s"),
        ("ruined", "gave no frame for 1 s"),
        ("ends", "has ended"),
        ("private", "asks for a user name and a password (status 401)"),
    ],
)
def test_a_server_that_misbehaves_is_said_to_and_asked_again(camera, watch, path, said):
    reader, _ = watch(web(camera(web_camera), path), timeout_s=1)
    eventually(lambda: said in (reader.status().reason or ""), said)
    eventually(lambda: reader.status().reconnects >= 2, "it to be asked again")
    assert reader.status().hung == 0


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("rtsp://127.0.0.1:1/main", "127.0.0.1:1 refuses connections"),
        ("rtsp://127.0.0.1:70000/main", "its port is no number from 1 to 65535"),
        ("rtsp://camera.invalid/main", "the host name 'camera.invalid' is not known here"),
        ("device:///dev/video77", "'/dev/video77' is not there"),
        ("device:///dev/null", "'/dev/null' cannot be opened; check that it is a camera"),
        ("device:///etc/hosts", "'/etc/hosts' is no device"),
    ],
)
def test_a_camera_that_is_not_there_is_said_not_to_be(watch, uri, said):
    reader, _ = watch(uri, timeout_s=1)
    eventually(lambda: said in (reader.status().reason or ""), said)


def test_a_recording_over_http_is_read_whole_and_begins_anew(camera, watch, tmp_path):
    video = write_video(tmp_path / "video.mp4", frames=40, fps=20)
    _, watcher = watch(web(camera(web_camera, "--video", str(video)), "video.mp4"))
    eventually(lambda: len(watcher.epochs()) > 1, "it to begin anew")
    assert sum(epoch == watcher.epochs()[0] for epoch, _ in watcher.offers) == 40


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        pytest.param(web_camera, "private", id="http"),
        pytest.param(web_camera, "query?user={username}&pwd={password}", id="http-query"),
        pytest.param(rtsp_camera, "main", id="rtsp", marks=needs_rtsp),
    ],
)
def test_a_password_is_rotated_while_the_camera_is_watched_and_shown_nowhere(
    camera, watch, tmp_path, caplog, kind, path
):
    asked, given = tmp_path / "asked", tmp_path / "door.password"
    asked.write_text("s3cret-one")
    given.write_text("s3cret-one")
    (tmp_path / "door.username").write_text("viewer")
    server = camera(kind, "--password-file", str(asked))
    scheme = "rtsp" if kind is rtsp_camera else "http"
    reader, watcher = watch(
        f"{scheme}://127.0.0.1:{server.port}/{path}", credentials=Credentials(tmp_path), login_name="door"
    )
    come(watcher)
    asked.write_text("s3cret-two")
    server.restart()
    stalls(reader)
    eventually(lambda: "does not accept the user name and password" in (reader.status().reason or ""), "a refusal")
    said = repr(reader.status())
    given.write_text("s3cret-two")
    come(watcher)
    for text in (said, repr(reader.status()), caplog.text):
        assert "s3cret" not in text


def write_video(path: Path, frames: int, fps: int) -> Path:
    """A video of the test source."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (320, 240))
    source = SyntheticSource(SyntheticSettings(320, 240))
    for _ in range(frames):
        writer.write(source.read())
    writer.release()
    return path
