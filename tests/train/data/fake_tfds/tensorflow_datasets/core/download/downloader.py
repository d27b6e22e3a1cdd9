"""Has the constant that bounds the attempts to download."""

MAX_RETRIES = 10
