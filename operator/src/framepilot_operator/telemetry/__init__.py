"""Telemetry: what instances say of themselves."""
