"""What Framepilot's operator and inference app share. Data and decisions only: no I/O, no torch, no clock."""
