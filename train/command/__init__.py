"""The command line: options, progress and costs."""
