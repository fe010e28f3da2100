"""Telemetry: counts and latencies as the app measures them itself."""
