"""An RTSP camera by GStreamer's server; a script for the distribution's Python, started by `support.cameras.process`.

SIGUSR1 changes the size of the picture while it is watched. The password is read from its file for every session.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

SIZES = ((320, 240), (480, 360))


def caps(size: tuple[int, int]) -> str:
    return f"video/x-raw,width={size[0]},height={size[1]},framerate=20/1"


def launch(loss: float) -> str:
    """`loss`: the part of the compressed pictures that get lost on the way."""
    encoder = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10"
    lossy = f"! identity drop-probability={loss}" if loss else ""
    return (
        f"( videotestsrc is-live=true pattern=ball ! capsfilter name=size caps={caps(SIZES[0])} "
        f"! {encoder} ! h264parse config-interval=-1 {lossy} ! rtph264pay name=pay0 pt=96 )"
    )


class Camera:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._media: list[GstRtspServer.RTSPMedia] = []
        self._size = 0
        self._server = GstRtspServer.RTSPServer()
        self._server.set_address(arguments.address)
        self._server.set_service(str(arguments.port))
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_shared(True)
        factory.set_launch(launch(arguments.loss))
        if arguments.transport != "any":
            factory.set_protocols(getattr(GstRtsp.RTSPLowerTrans, arguments.transport.upper()))
        factory.connect("media-configure", lambda _, media: self._media.append(media))
        if arguments.password_file:
            self._protect(factory, arguments.password_file)
        self._server.get_mount_points().add_factory("/main", factory)
        if self._server.attach(None) == 0:
            raise SystemExit(f"port {arguments.port} cannot be used")

    def _protect(self, factory: GstRtspServer.RTSPMediaFactory, password_file: Path) -> None:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
        auth, known = GstRtspServer.RTSPAuth(), []

        def follow() -> bool:
            password = password_file.read_text()
            if known != [password]:
                for old in known:
                    auth.remove_basic(GstRtspServer.RTSPAuth.make_basic("viewer", old))
                auth.add_basic(GstRtspServer.RTSPAuth.make_basic("viewer", password), token)
                known[:] = [password]
            return True

        follow()
        GLib.timeout_add(20, follow)
        self._server.set_auth(auth)

    def change_size(self) -> bool:
        self._size = (self._size + 1) % len(SIZES)
        for media in self._media:
            found = media.get_element().get_by_name("size")
            found.set_property("caps", Gst.Caps.from_string(caps(SIZES[self._size])))
        return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transport", default="any", choices=["any", "tcp", "udp"])
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--password-file", type=Path)
    Gst.init(None)
    camera = Camera(parser.parse_args())
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, camera.change_size)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
