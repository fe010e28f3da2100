"""The part of a registry's HTTP API that is needed here; see the OCI distribution specification 1.1, section "API"."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

from support.images.buildah import ImagesError

MANIFEST_TYPES = ", ".join(
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"]
)
TIMEOUT_S = 10


@dataclass(frozen=True)
class Registry:
    """A registry without TLS at `address`, HOST:PORT."""

    address: str

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest of a tag's manifest; None if the registry does not have it."""
        answer, _ = self._request("HEAD", f"/v2/{repository}/manifests/{tag}")
        return answer.headers["Docker-Content-Digest"] if answer.status == 200 else None

    def digests(self, repository: str) -> dict[str, str]:
        """The digest of each tag."""
        answer, body = self._request("GET", f"/v2/{repository}/tags/list")
        tags = (json.loads(body)["tags"] or []) if answer.status == 200 else []
        found = {tag: self.digest(repository, tag) for tag in tags}
        return {tag: digest for tag, digest in found.items() if digest is not None}

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a manifest; False if this registry does not allow it. Its disk is freed by its garbage collection."""
        answer, _ = self._request("DELETE", f"/v2/{repository}/manifests/{digest}")
        return answer.status == 202

    def _request(self, method: str, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, headers={"Accept": MANIFEST_TYPES})
            answer = connection.getresponse()
            return answer, answer.read()
        except OSError as error:
            raise ImagesError(f"no registry answers at {self.address} ({error}); start one: make cluster") from error
        finally:
            connection.close()
