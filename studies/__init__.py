"""Studies of what LCAM does, beyond the paper: predictions, and many small runs that test them.

Each study is ``python -m studies.NAME`` and writes ``results/NAME``.
"""
