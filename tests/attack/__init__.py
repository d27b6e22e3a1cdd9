"""The trainer attacked on purpose: ``python -m tests.attack``; see docs/attacks.md."""
