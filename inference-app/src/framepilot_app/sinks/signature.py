"""The signature of a webhook, by which its receiver knows who sent it and that nobody replays it.

Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. The id is
made from the content, so that a batch that is sent again has the same one.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import Final

PREFIX: Final = "whsec_"


def signed_headers(body: bytes, secrets: str | None, now: float) -> dict[str, str]:
    """The headers of one attempt. `secrets`: one, or several while one replaces another; None: it is not signed.

    Raises:
        ValueError: a secret is not base64.
    """
    identifier = f"msg_{hashlib.sha256(body).hexdigest()[:32]}"
    timestamp = str(int(now))
    headers = {"webhook-id": identifier, "webhook-timestamp": timestamp}
    if secrets is not None:
        content = f"{identifier}.{timestamp}.".encode() + body
        keys = [b64decode(secret.removeprefix(PREFIX), validate=True) for secret in secrets.split()]
        digests = [hmac.digest(key, content, "sha256") for key in keys]
        headers["webhook-signature"] = " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)
    return headers
