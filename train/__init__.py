"""The trainer: re-runs the experiments of the LCAM paper. Start it with ``python -m train``."""
