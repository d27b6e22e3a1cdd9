"""The attack finds what it should, and the trainer withstands a few of them."""

import pathlib
import random
import subprocess
import sys

import pytest

from tests.attack.checks import Failure, check_end, check_kept
from tests.attack.command_lines import draw_command_line
from tests.attack.commands import Done
from tests.attack.damage import WAYS
from tests.attack.kinds import KINDS, kind_of

ROOT = pathlib.Path(__file__).parents[2]


def done(status=0, output='', errors=''):
  return Done(('run',), status, output, errors)


@pytest.mark.parametrize(
  'bad',
  [
    done(status=None),
    done(errors='Traceback (most recent call last):\n'),
    done(status=1),
    done(status=2),
    done(status=2, errors='One sentence.\nAnother one.\n'),
    done(status=2, errors='no sentence'),
    done(status=-11),
  ],
)
def test_ends_that_are_failures(bad):
  with pytest.raises(Failure):
    check_end(bad)


def test_ends_that_are_none():
  check_end(done())
  check_end(done(status=2, errors='--epochs must be at least 1, not 0.\n'))
  check_end(done(status=2, errors='Stopped; go on with: python -m train run x\n'))
  check_end(done(status=143), 143)


def test_what_is_lost_is_seen(tmp_path):
  table = tmp_path / 'arm/seed-0/metrics.csv'
  table.parent.mkdir(parents=True)
  before = {'arm/seed-0/metrics.csv': b'1,2\n'}
  with pytest.raises(Failure, match='is lost'):
    check_kept(tmp_path, before)
  table.write_bytes(b'1,3\n')
  with pytest.raises(Failure, match='is lost'):
    check_kept(tmp_path, before)
  table.write_bytes(b'1,2\n')
  check_kept(tmp_path, before)
  table.write_bytes(b'1,2\n2,2\n')
  check_kept(tmp_path, before)


@pytest.mark.parametrize('way', WAYS)
def test_each_way_to_damage_a_file_changes_it(tmp_path, way):
  path = tmp_path / 'file'
  path.write_bytes(b'1,2,3\n4,5,6\n')
  way(path, random.Random(0))
  assert not path.is_file() or path.read_bytes() != b'1,2,3\n4,5,6\n'


def test_attacks_are_the_same_for_the_same_seed_and_number():
  kinds = tuple(KINDS)
  assert [kind_of(1, n, kinds) for n in range(50)] == [kind_of(1, n, kinds) for n in range(50)]
  assert {kind_of(1, n, kinds) for n in range(1000)} == set(kinds)
  assert draw_command_line(5) == draw_command_line(5)
  assert len({tuple(draw_command_line(seed)) for seed in range(20)}) > 15


@pytest.mark.slow
def test_thirty_attacks_are_withstood():
  subprocess.run(
    [sys.executable, '-m', 'tests.attack', '--attacks', '30', '--seed', '1', '--processes', '2'],
    cwd=ROOT,
    check=True,
  )
