"""Checks that the tests of ``--jobs`` and of ``--cluster`` share."""

import pathlib
import signal

from tests.train.support import LCAM, YOKED, checkpoints_in, children_of, start, tables, wait_until


def check_shared_runs(arguments: tuple, workdir: pathlib.Path, expected: dict, **environment):
  """Starts a command twice at once: each reports on all runs, and each run is trained once."""
  commands = [start(*arguments, '--workdir', workdir, **environment) for _ in range(2)]
  outputs = [command.communicate() for command in commands]
  assert [command.returncode for command in commands] == [0, 0], outputs
  assert tables(workdir) == expected
  for output, _ in outputs:
    assert f'{LCAM}  ' in output, 'each command reports on all runs'
    assert '\x1b' not in output
  lines = '\n'.join(output for output, _ in outputs).splitlines()
  for arm in (LCAM, YOKED):
    for seed in (0, 1):
      name = f'{arm} seed {seed}'
      assert sum(line.startswith(f'{name}  epoch 3/3  loss') for line in lines) == 1, 'trained once'


def check_stop(
  number: int, arguments: tuple, workdir: pathlib.Path, expected: dict, **environment
) -> list[int]:
  """Stops a command with a signal when two runs are saved; returns the processes it had started."""
  command = start(*arguments, '--workdir', workdir, **environment)
  wait_until(lambda: len(checkpoints_in(workdir)) == 2, command)
  processes = children_of(command)
  command.send_signal(number)
  output, errors = command.communicate()
  assert tables(workdir) != expected, 'it was stopped too late'
  if number == signal.SIGKILL:
    assert command.returncode == -signal.SIGKILL
  else:
    assert command.returncode == 128 + number
    assert 'Stopped and saved wherever each run was; go on with: ' in errors
    assert str(workdir) in errors
    assert 'Traceback' not in output + errors
  return processes


def check_goes_on(arguments: tuple, workdir: pathlib.Path, expected: dict, **environment):
  """Starts a command that was stopped: its tables become those of an undisturbed one."""
  command = start(*arguments, '--workdir', workdir, **environment)
  output, errors = command.communicate()
  assert command.returncode == 0, errors
  assert 'goes on after epoch' in output
  assert tables(workdir) == expected
