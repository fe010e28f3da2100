"""The cluster as the loop sees it: one port, one file for each kind of cluster."""
