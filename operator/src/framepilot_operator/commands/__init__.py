"""The commands of `framepilot`, one a file: read the arguments, call what does the work, say what came of it."""
