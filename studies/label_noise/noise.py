"""Makes labels wrong: at random, to a neighbouring class, as people do, or as outliers of a regression."""

import dataclasses
import functools
import json
import pathlib
from typing import Literal

import numpy as np
from jaxtyping import Float

from studies.problems import Targets

_HUMAN = pathlib.Path(__file__).with_name('human_label_noise.json')
_OUTLIERS = (3.0, 6.0)  # how many standard deviations of the targets they are off


@dataclasses.dataclass(frozen=True, order=True)
class Noise:
  """How labels are made wrong.

  Attributes:
    kind: 'symmetric', another class, all equally likely; 'pair', the next class; 'people', a class
      that people gave images of this class (``source`` names the counts); 'outliers', a target that
      is 3 to 6 standard deviations off, up or down.
    share: The probability that a label is replaced. People also leave labels as they are, so it
      is 1 for them.
    source: The name of the counts of people's labels.
  """

  kind: Literal['symmetric', 'pair', 'people', 'outliers']
  share: float = 1.0
  source: str = ''

  @property
  def name(self) -> str:
    """Its name in tables."""
    return f'people-{self.source}' if self.kind == 'people' else f'{self.kind}-{self.share:g}'

  def wrong_labels(self, labels: Targets, classes: int, seed: int) -> Targets:
    """Returns the labels with some of them replaced.

    Args:
      labels: The right labels.
      classes: The number of classes.
      seed: Determines which are replaced, and by what.
    """
    random = np.random.default_rng((seed, 1))
    replaced = random.random(len(labels)) < self.share
    if self.kind == 'outliers':
      sizes = random.uniform(*_OUTLIERS, len(labels)) * random.choice([-1, 1], len(labels))
      others = labels + sizes.astype(labels.dtype)
    elif self.kind == 'people':
      confusions = people(self.source, classes)
      ends = confusions.cumsum(1)[labels]
      others = (random.random((len(labels), 1)) < ends).argmax(1)
    else:
      steps = random.integers(1, classes, len(labels)) if self.kind == 'symmetric' else 1
      others = (labels + steps) % classes
    return np.where(replaced, others, labels).astype(labels.dtype)


@functools.cache
def people(source: str, classes: int) -> Float[np.ndarray, 'classes classes']:
  """Returns the probabilities of what people call an image of each class of CIFAR.

  Args:
    source: The name of the counts: 'aggregate', 'random1' or 'worst' of 10 classes, 'noisy' of 100.
    classes: 10 or 100.
  """
  counts = json.loads(_HUMAN.read_text())[f'cifar{classes}']['counts'][source]
  of_class = np.array(counts, float)
  return of_class / of_class.sum(1, keepdims=True)
