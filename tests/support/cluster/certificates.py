"""One certificate authority of the cluster and what it signs, made by openssl when the cluster is first started."""

from __future__ import annotations

from pathlib import Path

from support.cluster import paths, settings
from support.cluster.commands import run

DAYS = "3650"
API_SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{settings.DNS_DOMAIN}",
)
API_SERVER_ADDRESSES = (settings.NODE_ADDRESS, settings.API_SERVICE_ADDRESS)


def make_missing() -> None:
    """Make the certificates and keys that are not there yet."""
    folder = paths.CERTIFICATES
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    service_accounts = folder / "service-accounts.key"
    if not service_accounts.exists():
        run(["openssl", "genrsa", "-out", _unfinished(service_accounts), "2048"])
        _unfinished(service_accounts).replace(service_accounts)
    _certificate("ca", "/CN=framepilot-cluster", ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"])
    names = ",".join([f"DNS:{n}" for n in API_SERVER_NAMES] + [f"IP:{a}" for a in API_SERVER_ADDRESSES])
    _certificate("apiserver", "/CN=kube-apiserver", [f"subjectAltName={names}", "extendedKeyUsage=serverAuth"], "ca")
    for identity, subject in settings.IDENTITIES.items():
        _certificate(identity, subject, ["extendedKeyUsage=clientAuth"], "ca")


def _certificate(name: str, subject: str, extensions: list[str], signer: str | None = None) -> None:
    folder = paths.CERTIFICATES
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    if certificate.exists():
        return
    command: list[str | Path] = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-days", DAYS, "-subj", subject]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", _unfinished(certificate)]
    for extension in extensions if signer is None else ["basicConstraints=critical,CA:FALSE", *extensions]:
        command += ["-addext", extension]
    if signer is not None:
        command += ["-CA", folder / f"{signer}.crt", "-CAkey", folder / f"{signer}.key"]
    run(command)
    _unfinished(certificate).replace(certificate)


def _unfinished(file: Path) -> Path:
    return file.with_suffix(".unfinished")
