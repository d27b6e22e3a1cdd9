"""What LCAM does, beyond the paper: predictions, and thousands of small runs that test them.

Each study is ``python -m studies.NAME`` and writes ``results/NAME``.
"""
