"""Programs: a model's graph as data, how it is made, and how it is compiled for a device."""
