"""Framepilot's inference app: streams through modules to sinks."""
