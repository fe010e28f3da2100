"""Streams: where frames come from, paced, and handed on by their delivery rule."""
