"""Planning: which instances run what, at which batch size; pure."""
