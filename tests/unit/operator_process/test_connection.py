"""kopf reaches the same server, as the same account."""

from __future__ import annotations

from kubernetes.aio.client.configuration import Configuration

from framepilot_operator.kubernetes.connection import connection_info


async def test_a_service_account_s_token_is_read_anew_at_every_login():
    tokens = iter(("first", "second"))
    configuration = Configuration()
    configuration.host = "https://10.96.0.1:443"
    configuration.ssl_ca_cert = "/ca.crt"

    def refresh(refreshed: Configuration) -> None:
        refreshed.api_key["BearerToken"] = f"bearer {next(tokens)}"

    configuration.refresh_api_key_hook = refresh
    info = await connection_info(configuration)
    assert (info.server, info.ca_path, info.insecure) == ("https://10.96.0.1:443", "/ca.crt", False)
    assert info.as_http_headers() == {"Authorization": "bearer first"}
    assert (await connection_info(configuration)).as_http_headers() == {"Authorization": "bearer second"}


async def test_a_client_certificate_is_used_as_it_is():
    configuration = Configuration()
    configuration.cert_file, configuration.key_file = "/admin.crt", "/admin.key"
    info = await connection_info(configuration)
    assert (info.certificate_path, info.private_key_path) == ("/admin.crt", "/admin.key")
    assert info.as_http_headers() == {}
