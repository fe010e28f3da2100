"""The operator as a process on a cluster: its options, its lease, what it watches, what it tells of itself."""
