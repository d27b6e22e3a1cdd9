import jax
import numpy as np
import pytest
from scipy import signal

from train.data import find_source
from train.data.audio import half_band_taps, halve_rate

_SECOND = np.arange(16_000) / 16_000


def _tone(frequency):
  return (0.9 * 2**15 * np.sin(2 * np.pi * frequency * _SECOND)).astype(np.int16)[None]


def _resample(samples, name='speech_commands'):
  return np.asarray(jax.jit(find_source(name).preprocessing.evaluate)(samples))


def _loudness(samples):
  """Root mean square, in decibels of a full-scale sine; the ends are left out."""
  return 20 * np.log10(np.std(samples[:, 200:-200]) * np.sqrt(2) + 1e-12)


def _speechlike():
  """Harmonics of a gliding pitch under a syllable's envelope, with breath noise above."""
  random = np.random.default_rng(0)
  phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 2 * _SECOND)) / 16_000
  voice = sum(np.sin(k * phase + k) / k for k in range(1, 50))
  sound = np.sin(np.pi * _SECOND) ** 2 * (voice + 0.1 * random.standard_normal(16_000))
  return (sound / np.abs(sound).max() * 2**15 * 0.99).astype(np.int16)[None]


def test_resampling_equals_scipys_with_the_same_filter():
  speech = _speechlike()
  expected = signal.resample_poly(
    speech / 2**15, 1, 2, axis=1, window=half_band_taps().astype(float)
  )
  found = _resample(speech)
  assert found.shape == (1, 8_000)
  np.testing.assert_allclose(found, expected, atol=2e-6)


def test_resampling_agrees_with_scipys_own_filter_where_both_pass():
  speech = signal.sosfiltfilt(
    signal.butter(8, 2_500, fs=16_000, output='sos'), _speechlike().astype(float)
  )
  expected = signal.resample_poly(speech, 1, 2, axis=1)
  found = np.asarray(halve_rate(speech.astype(np.float32)))
  assert np.std(found - expected) < 0.003 * np.std(expected)


@pytest.mark.parametrize('frequency', [4_500, 5_000, 7_000])
def test_what_eight_kilohertz_cannot_hold_vanishes(frequency):
  assert _loudness(_resample(_tone(frequency))) < -75
  # Taking every other sample would fold it back at full strength.
  assert _loudness(_tone(frequency)[:, ::2] / 2**15) > -2


@pytest.mark.parametrize('frequency', [100, 1_000, 3_500])
def test_what_eight_kilohertz_can_hold_stays(frequency):
  found = _resample(_tone(frequency))
  expected = _tone(frequency)[:, ::2] / 2**15
  np.testing.assert_allclose(found[:, 100:-100], expected[:, 100:-100], atol=2e-4)


def test_full_scale_becomes_one():
  spoken = np.array([[-(2**15), 0, 2**14]], np.int16)
  np.testing.assert_array_equal(_resample(spoken, 'spoken_digit'), [[-1, 0, 0.5]])


@pytest.mark.parametrize('name', ['speech_commands', 'speech_commands_35', 'spoken_digit'])
def test_audio_is_not_augmented(name):
  found, speech = find_source(name).preprocessing, _speechlike()
  np.testing.assert_array_equal(found.train(jax.random.key(0), speech), found.evaluate(speech))
