"""Passes the stderr of a process on, and tells in a sentence why JAX's runtime ended it.

A program of its own that imports nothing of the trainer:

    python native_log.py SENTENCE < stderr
"""

import re
import sys

# Where the runtime begins to log that another process is gone; stack trace and all follow.
_TROUBLE = re.compile(
  rb'[WEF]\d{4} .*(coordination_service|preemption_sync_manager|distributed|client\.h)'
)
_NOTICE = re.compile(rb'[IW]\d{4} .*preemption_notifier')  # that SIGTERM came
_FATAL = b'JAX distributed service detected fatal errors'
_NOT_ALL_CAME = b'RegisterTask'
_FAREWELL = b'\x04\n'  # the process has said itself why it ends


def main() -> None:
  """Passes lines on until the process ends."""
  sentence = sys.argv[1].encode()
  out = sys.stderr.buffer
  held: list[bytes] = []
  told = False
  for line in sys.stdin.buffer:
    if line == _FAREWELL:
      return
    if held or _TROUBLE.match(line):
      held.append(line)
    elif not _NOTICE.match(line):
      told = told or line.rstrip() == sentence
      out.write(line)
      out.flush()
  found = b''.join(held)
  if _FATAL not in found:
    out.write(found)
  elif _NOT_ALL_CAME in found:
    out.write(
      b'Not all processes of this run came: start as many as each is told that there are.\n'
    )
  elif not told:
    out.write(sentence + b'\n')
  out.flush()


if __name__ == '__main__':
  main()
