"""Framepilot's operator: observe, plan, diff, apply, report."""
