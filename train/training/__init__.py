"""One training: its programs, the checks before it, the loop, and its memory."""
