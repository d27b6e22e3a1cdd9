"""What everything else stands on: errors, files, signals, devices, environment and caches."""
