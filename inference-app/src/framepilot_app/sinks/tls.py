"""How a sink on the network knows its receiver, and is known by it. The files are read anew at each connection."""

from __future__ import annotations

import ssl

from framepilot.contract.desired import SinkTls
from framepilot_app.sinks.sink import SinkError


def tls_context(sink: str, tls: SinkTls | None) -> ssl.SSLContext:
    """Verifies the receiver's certificate and name: against the declared CA, else against the system's.

    Raises:
        SinkError: a file cannot be used; which one.
    """
    declared = tls or SinkTls()
    context = _trusting(sink, declared)
    if declared.certificate is not None and declared.key is not None:
        try:
            context.load_cert_chain(declared.certificate, declared.key, password=_no_password)
        except (OSError, ValueError) as error:
            message = f"sink '{sink}': '{declared.certificate}' and '{declared.key}' are no certificate and its key"
            raise SinkError(f"{message}: {_short(error)}") from error
    return context


def _trusting(sink: str, declared: SinkTls) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=declared.ca)
    except (OSError, ValueError) as error:
        raise SinkError(f"sink '{sink}': '{declared.ca}' cannot be used as CA: {_short(error)}") from error


def _no_password() -> str:
    # Without it, OpenSSL would ask for one on the terminal.
    raise ValueError("the key has a password; remove it")


def _short(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
