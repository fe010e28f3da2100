"""Certificates for servers and clients on this machine, signed by an authority that is made for one test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


class Authority:
    """`ca` is its certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca, self._key = self._made(name, ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"])

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1 and localhost, and its key."""
        extensions = ["basicConstraints=critical,CA:FALSE", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        return self._made(name, extensions, "-CA", str(self.ca), "-CAkey", str(self._key))

    def _made(self, name: str, extensions: list[str], *signer: str) -> tuple[Path, Path]:
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-days", "2", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate), *signer]
        for extension in extensions:
            command += ["-addext", extension]
        try:
            subprocess.run(command, capture_output=True, check=True)
        except FileNotFoundError:
            pytest.skip("needs openssl")
        return certificate, key
