"""What is written and read back: configuration, tables, checkpoints and locks."""
