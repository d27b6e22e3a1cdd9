import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from train.data import AsStored, DataError, Dataset, Split, gather, make_input

_NUMBERS = st.sampled_from(
  ['bool', 'uint8', 'int16', 'int32', 'float16', 'float32', 'int64', 'float64']
)
_KEPT = {'int64': 'int32', 'float64': 'float32'}


@pytest.mark.training
@settings(max_examples=40, deadline=None)
@given(data=st.data(), dtype=_NUMBERS, streamed=st.booleans())
def test_any_arrays_come_out_of_a_batch_as_they_went_in(data, dtype, streamed):
  shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
  elements = None
  if dtype.startswith('float'):
    elements = st.floats(-1e4, 1e4, width=int(dtype.removeprefix('float')))
  elif dtype == 'int64':
    elements = st.integers(-(2**31), 2**31 - 1)
  inputs = data.draw(hnp.arrays(dtype, shape, elements=elements))
  targets = np.linspace(0, 1, 2 * len(inputs)).reshape(-1, 2)
  split = Split(inputs, targets)
  assert len(split) == len(inputs)
  source = make_input(split, stream=streamed)
  batches = [gather(batch) for batch in source.in_order(batch_size=2)]
  found = [np.concatenate([np.asarray(batch[part]) for batch in batches]) for part in (0, 1)]
  assert found[0].dtype == _KEPT.get(dtype, dtype)
  np.testing.assert_array_equal(found[0], inputs.astype(found[0].dtype))
  np.testing.assert_array_equal(found[1], targets.astype(np.float32))


@pytest.mark.parametrize(
  'inputs', [[[1.0], [2.0]], ((1,), (2,)), jnp.array([[1], [2]], 'bfloat16')]
)
def test_lists_and_jax_arrays_become_arrays(inputs):
  split = Split(inputs, labels=jnp.array([0, 1]))
  assert isinstance(split.inputs, np.ndarray)
  np.testing.assert_array_equal(split.inputs.astype(int), [[1], [2]])


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float32'])
def test_arrays_that_need_no_conversion_are_not_copied(dtype):
  inputs, labels = np.ones((3, 2), dtype), np.zeros(3, np.int32)
  split = Split(inputs, labels)
  assert split.inputs is inputs
  assert split.labels is labels


@pytest.mark.parametrize('dtype', ['uint8', 'float64'])
def test_memory_maps_stay_memory_maps(dtype, tmp_path):
  np.save(tmp_path / 'inputs.npy', np.arange(6, dtype=dtype).reshape(3, 2))
  split = Split(np.load(tmp_path / 'inputs.npy', mmap_mode='r'), [0, 1, 0])
  assert isinstance(split.inputs, np.memmap)
  for stream in (False, True):
    (batch,) = make_input(split, stream).in_order(batch_size=3)
    found = gather(batch)[0]
    assert found.dtype == _KEPT.get(dtype, dtype)
    np.testing.assert_array_equal(found, [[0, 1], [2, 3], [4, 5]])


_NAN = np.nan


def _objects(*rows):
  return np.array(rows, object)


@pytest.mark.parametrize(
  ('objects', 'dtype'),
  [
    (_objects([1, 2.5], [True, np.float32(4)]), 'float32'),
    (_objects([1, 2], [3, np.int64(4)]), 'int32'),
    (_objects([True, False]), 'bool'),
  ],
)
def test_objects_that_are_numbers_become_numbers(objects, dtype):
  split = Split(objects, [0] * len(objects))
  assert split.inputs.dtype == dtype
  np.testing.assert_array_equal(split.inputs, objects.astype(dtype))


def test_frames_of_pandas_become_arrays():
  pandas = pytest.importorskip('pandas')
  frame = pandas.DataFrame(
    {
      'age': [30.5, 40.0, 50.0],
      'known': [True, False, True],
      'rooms': pandas.array([1, 2, 3], 'Int64'),
    }
  )
  split = Split(frame, pandas.Series([0, 1, 0], dtype='Int64'))
  assert (split.inputs.dtype, split.labels.dtype) == ('float32', 'int32')
  np.testing.assert_array_equal(split.inputs, [[30.5, 1, 1], [40, 0, 2], [50, 1, 3]])
  days = pandas.to_datetime(['2020-01-01', '2021-01-01', '2022-01-01'])
  for column, found in (
    (['x', 'y', 'z'], "row 0 of column 'new' holds 'x', a str"),
    (pandas.array([1, None, 3], 'Int64'), "row 1 of column 'new' holds <NA>, a NAType"),
    (pandas.Categorical(['a', 'b', 'a']), "row 0 of column 'new' holds 'a', a str"),
    (days, "row 0 of column 'new' holds Timestamp"),
  ):
    with pytest.raises(DataError, match=found):
      Split(frame.assign(new=column), [0, 1, 0])


@pytest.mark.parametrize(
  ('inputs', 'labels', 'sentence'),
  [
    (np.ones((3, 2)), [0, 1], r'one label per input, not inputs of shape \(3, 2\) .* \(2,\)\.'),
    (np.ones((0, 2)), [], r'must have examples, but its inputs have shape \(0, 2\)\.'),
    (5.0, [0], r'inputs of a split must have an axis of examples'),
    ([[1, 2], [3]], [0, 1], 'inputs of a split have rows of different shapes'),
    ([[1], [2]], np.array([1, 2], 'm8[s]'), r'must be numbers, not timedelta64\[s\] of shape'),
    ([1, 2], ['cat', 'dog'], r'labels of a split must be numbers, not <U3 of shape \(2,\)'),
    ([1, None], [0, 1], 'inputs of a split must be numbers, but row 1 holds None, a NoneType'),
    (_objects([1, '2'], [3, 4]), [0, 1], "numbers, but row 0 holds '2', a str: leave it out"),
    (scipy.sparse.eye_array(2).tocsr(), [0, 1], r'inputs .* sparse matrix: .* `\.toarray\(\)`'),
    ([1, 2], scipy.sparse.csr_matrix([[0, 1]]), 'labels of a split are a sparse matrix'),
    ([np.ma.array([1, 2], mask=[0, 1]), [3, 4]], [0, 1], 'masked array with 1 masked values'),
    ([[1, 2], [3, _NAN]], [0, 1], r'inputs of a split, float32 \(2, 2\), hold NaN .* in row 1\.'),
    ([1, 2, 3], [0.0, np.inf, 1.0], 'labels of a split.* NaN or infinity in row 1'),
    ([1.0, 1e300], [0, 1], 'inputs of a split.* NaN or infinity in row 1'),
    (jnp.array([_NAN, 1], 'bfloat16'), [0, 1], 'bfloat16 .* NaN or infinity in row 0'),
    ([[1], [2**40]], [0, 1], 'inputs of a split hold 1099511627776, which int32 cannot'),
  ],
)
def test_a_bad_split_is_one_sentence(inputs, labels, sentence):
  with pytest.raises(DataError, match=sentence) as raised:
    Split(inputs, labels)
  assert '\n' not in str(raised.value)
  assert str(raised.value).endswith('.')


def _several(rows=3, width=2, **further):
  image, age = np.arange(rows * width, dtype='uint8').reshape(rows, width), np.ones(rows)
  return Split({'image': image, 'of': (age, np.full((rows, 1), 2.0)), **further}, np.arange(rows))


@pytest.mark.parametrize('streamed', [False, True])
def test_several_inputs_keep_their_structure_in_a_batch(streamed):
  data = Dataset('several', _several(), _several(5)).with_train_examples(2)
  (batch,) = make_input(data.train, streamed).in_order(batch_size=3)
  inputs, labels = AsStored().evaluate(gather(batch)[0]), gather(batch)[1]
  np.testing.assert_array_equal(inputs['image'], [[0, 1], [2, 3]])
  np.testing.assert_array_equal(inputs['of'][0], [1, 1])
  np.testing.assert_array_equal(inputs['of'][1], [[2], [2]])
  dtypes = [array.dtype for array in jax.tree.leaves(inputs)]
  assert (dtypes, labels.tolist()) == (['uint8', 'float32', 'float32'], [0, 1])


@pytest.mark.parametrize(
  ('inputs', 'sentence'),
  [
    ({}, r'inputs of a split must hold an array, and \{\} holds none'),
    ({'a': np.ones(2), 'b': np.ones(3)}, r"not inputs\['b'\] of shape \(3,\) and labels"),
    ((np.ones(2), np.array([1, _NAN])), r'inputs\[1\] of a split, .* hold NaN .* in row 1'),
    ({'a': ['x', 'y']}, r"inputs\['a'\] of a split must be numbers"),
    ({'a': scipy.sparse.eye_array(2)}, r"inputs\['a'\] of a split are a sparse matrix"),
  ],
)
def test_the_one_of_several_inputs_that_is_wrong_is_named(inputs, sentence):
  with pytest.raises(DataError, match=sentence):
    Split(inputs, [0, 1])


def test_the_splits_must_hold_the_same_inputs():
  for other in (_several(width=3), _several(extra=np.ones(3)), Split(np.ones((3, 2)), range(3))):
    with pytest.raises(
      DataError, match=r"inputs of x are \['image'\] uint8 \(3, 2\), \['of'\]\[0\]"
    ):
      Dataset('x', _several(), other)


def _dataset(train_labels, test_labels, class_names=('cat', 'dog', 'owl')):
  train = Split(np.ones((len(train_labels), 2)), train_labels)
  test = Split(np.ones((len(test_labels), 2)), test_labels)
  return Dataset('pets', train, test, class_names)


def test_class_names_may_be_any_sequence():
  dataset = _dataset([0, 1, 2], [2], class_names=np.array(['cat', 'dog', 'owl']))
  assert dataset.class_names == ('cat', 'dog', 'owl')
  assert dataset.num_classes == 3


def test_targets_that_are_no_classes_need_no_names():
  dataset = _dataset(np.ones((4, 2)), np.zeros((1, 2)), class_names=())
  assert dataset.num_classes == 0
  train, test = Split([1.0, 2.0], [-3.5, 9]), Split([1.0], [0.1])
  assert Dataset('plain', train, test).class_names == ()


@pytest.mark.parametrize(
  ('train', 'test', 'sentence'),
  [
    ([0, 1, 3, 4], [0], 'Label 3 in row 2 of the training labels of pets .* 3 classes, 0 to 2'),
    ([0, 1], [2, -1], 'Label -1 in row 1 of the test labels of pets'),
    ([0.0, 1.0], [2.0], r'training labels of pets are float32 \(2,\): omit class_names'),
    (np.eye(3, dtype=int), np.eye(3, dtype=int), r'training labels of pets are int32 \(3, 3\)'),
    ([True, False], [True], r'training labels of pets are bool \(2,\)'),
    ([0, 1], [0.5], r'training labels of pets are int32 \(2,\) and the test labels float32 \(1,\)'),
  ],
)
def test_labels_that_are_no_classes_are_one_sentence(train, test, sentence):
  with pytest.raises(DataError, match=sentence):
    _dataset(train, test)


def test_the_splits_must_hold_the_same_kind_of_inputs():
  train = Split(np.zeros((2, 8, 8), np.uint8), [0, 1])
  for other in (np.zeros((2, 8, 8), np.float32), np.zeros((2, 8, 9), np.uint8)):
    with pytest.raises(DataError, match=r'inputs of x are uint8 \(2, 8, 8\)'):
      Dataset('x', train, Split(other, [0, 1]), ('a', 'b'))


@pytest.mark.parametrize('dtype', ['uint8', 'int32', 'bool', 'float32', 'float16', 'bfloat16'])
def test_as_stored_scales_nothing(dtype):
  inputs = jnp.array([[0, 1], [1, 0]], dtype)
  expected = 'float32' if 'float' in dtype else dtype
  for found in (AsStored().train(jax.random.key(0), inputs), AsStored().evaluate(inputs)):
    assert found.dtype == expected
    np.testing.assert_array_equal(found.astype(int), [[0, 1], [1, 0]])
  assert hash(AsStored()) == hash(AsStored())


@pytest.mark.parametrize('dtype', ['>f4', '>i2', '>f8', 'longdouble'])
def test_numbers_of_other_machines_and_widths_keep_their_values(dtype):
  values = np.array([[1.5], [-2.0], [3.0]]).astype(dtype)
  split = Split(values, [0, 1, 0])
  assert split.inputs.dtype.isnative
  assert split.inputs.dtype.itemsize <= 4
  np.testing.assert_array_equal(split.inputs, values.astype('float64'))


def test_masked_values_are_refused_and_a_mask_without_any_is_not():
  values = np.ma.masked_array([[1.0], [2.0]], mask=[[False], [True]])
  with pytest.raises(DataError, match=r'masked array with 1 masked values: .*filled'):
    Split(values, [0, 1])
  Split(np.ma.masked_array([[1.0], [2.0]]), [0, 1])


def test_integers_of_a_memory_map_that_do_not_fit_are_refused(tmp_path):
  np.save(tmp_path / 'large.npy', np.array([[1], [2**40]]))
  with pytest.raises(DataError, match=f'hold {2**40}, which int32 cannot'):
    Split(np.load(tmp_path / 'large.npy', mmap_mode='r'), [0, 1])


def test_what_is_not_finite_is_counted_and_placed():
  inputs = np.ones((10, 2))
  inputs[[3, 7], 1] = np.nan, np.inf
  with pytest.raises(DataError, match='hold NaN or infinity in row 3 and in 1 more of 10 rows'):
    Split(inputs, np.zeros(10))
