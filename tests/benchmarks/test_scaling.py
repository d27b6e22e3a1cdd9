"""What the benchmark of several devices counts and computes."""

import pytest

from benchmarks.scaling import all_reduce_seconds, all_reduced_bytes


def test_bytes_of_all_reduces_are_counted_once():
  program = """
  %a = f32[3,4]{1,0} all-reduce(f32[3,4]{1,0} %x), replica_groups={{0,1}}
  %b = (f32[5]{0}, bf16[2,2]{1,0}) all-reduce-start(%y, %z)
  %c = (f32[5]{0}, bf16[2,2]{1,0}) all-reduce-done(%b)
  %d = f32[100]{0} add(%e, %f)
  """
  assert all_reduced_bytes(program) == 4 * 12 + 4 * 5 + 2 * 4


@pytest.mark.parametrize(('chips', 'seconds'), [(1, 0), (2, 1), (8, 1.75)])
def test_each_byte_goes_out_twice_but_for_ones_own_part(chips, seconds):
  assert all_reduce_seconds(100, chips, bandwidth=100) == seconds
