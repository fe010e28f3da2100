"""Tasks: what a model's raw outputs mean. One file for each; `decode` is the way in."""
