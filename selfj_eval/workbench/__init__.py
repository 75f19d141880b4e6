"""Pages that a browser shows while a command runs, for people who read and rate answers."""
