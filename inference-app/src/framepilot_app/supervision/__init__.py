"""Supervision: what notices that a thread is stuck or gone, and keeps the log within bounds."""
