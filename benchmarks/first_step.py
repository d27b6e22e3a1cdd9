"""Starts the trainer up to its first step, for `benchmarks.start_up`; imports nothing beforehand."""

import json
import time


def take(experiment: str) -> None:
  """Does the same as a run until the end of its first step, and prints the seconds of each part."""
  times = [time.perf_counter()]
  import jax

  import train.__main__
  import train.launch.run  # noqa: F401  a run imports it when it begins
  from train.problem.experiments import find_comparisons
  from train.system.caches import keep_compiled_programs
  from train.training.trainer import Trainer

  times.append(time.perf_counter())
  comparison = find_comparisons(experiment)[0]
  keep_compiled_programs()
  dataset = comparison.load()
  times.append(time.perf_counter())
  trainer = Trainer(comparison, dataset)
  times.append(time.perf_counter())
  state, train_step = trainer.start(comparison.arms[0], seed=0)
  jax.block_until_ready(state.params)
  times.append(time.perf_counter())
  batch = next(trainer.train_input.epoch(0, 0, comparison.batch_size))
  jax.block_until_ready(train_step(state, batch, 0, 0, 0).sums)
  times.append(time.perf_counter())
  names = 'imports', 'data', 'checks, data to the device', 'weights', 'the step'
  parts = {name: end - start for name, start, end in zip(names, times, times[1:], strict=False)}
  print(json.dumps(parts), flush=True)  # the process takes a while to end
