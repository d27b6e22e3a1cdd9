"""The report for a browser: what it holds, and that it is whole by itself."""

import base64
import gzip
import html.parser
import json
import re

import numpy as np
import pytest

from tests.train.reports.support import config_of_own, report_text, write_arms, write_run
from train.storage.tables import metrics_columns, read_table

HOSTILE = '<script>window.hacked = 1<!-- "\'&'
ERRORS = {
  'fixed-0.9': [5.0, 5.4, 4.9],
  'low0.9-high0.95': [4.0, 4.5, 3.9],
  'yoked0.9-0.95': [4.8, 5.0, 5.3],
}


class Page(html.parser.HTMLParser):
  """What a browser makes of a page: its elements, their attributes, and the text outside scripts."""

  def __init__(self, text):
    super().__init__()
    self.elements, self.text, self.scripts = [], '', []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_data(self, data):
    if self.elements and self.elements[-1][0] == 'script' and data.strip():
      self.scripts.append(data)
    else:
      self.text += data

  def attributes(self, tag):
    return [attributes for name, attributes in self.elements if name == tag]


def page_of(workdir):
  report_text(workdir)
  return Page((workdir / 'report.html').read_text())


def write_curves(workdir, arms, seeds, epochs):
  """Writes runs whose numbers are drawn at random."""
  columns = metrics_columns('test_squared_error')
  generator = np.random.default_rng(0)
  for arm in arms:
    for seed in range(seeds):
      directory = write_run(workdir, arm, seed, 1.0, epochs, config=config_of_own())
      table = generator.uniform(0.1, 1.0, (epochs, len(columns)))
      rows = [','.join(columns)]
      rows += [','.join(map(str, [epoch, *row[1:]])) for epoch, row in enumerate(table.tolist(), 1)]
      (directory / 'metrics.csv').write_text('\n'.join(rows) + '\n')


def drawn_lines(page):
  """Returns, of each panel, from arm to the values of its line."""
  (items,) = re.findall(r'^const items = (.*);$', page.scripts[-1], re.MULTILINE)
  return [dict(lines_of(item)) for item in json.loads(items)]


def lines_of(model):
  if isinstance(model, dict) and model.get('name') == 'GlyphRenderer':
    attributes = model['attributes']
    if attributes['glyph']['name'] == 'Line':
      source = dict(attributes['data_source']['attributes']['data']['entries'])
      encoded = source['value']['array']['data']
      yield attributes['name'], np.frombuffer(gzip.decompress(base64.b64decode(encoded)))
  elif isinstance(model, dict | list):
    for part in model.values() if isinstance(model, dict) else model:
      yield from lines_of(part)


def test_it_says_what_the_other_report_says(tmp_path):
  write_arms(tmp_path, ERRORS, config_of_own())
  text = page_of(tmp_path).text
  markdown = (tmp_path / 'report.md').read_text()
  said = re.sub(r'^# |^\|.*|^!.*|^\*(?! )|\*$', '', markdown, flags=re.MULTILINE)
  for line in said.splitlines():
    listed = re.fullmatch(r'\* [a-z ]+: (.*)', line)  # of the setting, in two columns there
    assert (listed[1] if listed else line.removeprefix('* ')) in text
  for row in re.findall(r'^\| (?!arm|---)(.*) \|$', markdown, re.MULTILINE):
    assert ''.join(row.split(' | ')) in text


def test_its_tables_have_heads_and_its_curves_a_name(tmp_path):
  write_arms(tmp_path, ERRORS, config_of_own())
  page = page_of(tmp_path)
  assert [head['scope'] for head in page.attributes('th')].count('row') == 3 + 3
  assert len(page.attributes('caption')) == 2
  identifiers = {attributes.get('id') for _, attributes in page.elements}
  images = [attributes for _, attributes in page.elements if attributes.get('role') == 'img']
  assert len(images) == 4
  for image in images:
    assert {image['aria-labelledby'], image['aria-describedby']} <= identifiers


def test_its_curves_are_the_means_of_the_runs(tmp_path):
  write_curves(tmp_path, ['fixed-0.9', 'adam'], seeds=3, epochs=5)
  columns = ('test_squared_error', 'train_loss', 'high_loss_share', 'mean_momentum')
  for column, lines in zip(columns, drawn_lines(page_of(tmp_path)), strict=True):
    assert list(lines) == ['fixed-0.9', 'adam']
    for arm, values in lines.items():
      runs = [
        read_table(path, metrics_columns('test_squared_error'))[column]
        for path in (tmp_path / arm).glob('*/metrics.csv')
      ]
      np.testing.assert_allclose(values, np.mean(runs, axis=0))


def test_what_users_write_stays_text(tmp_path):
  about = {'title': HOSTILE, 'network': HOSTILE, 'schedule': HOSTILE, 'reported': HOSTILE}
  config = config_of_own(**about, metric_label=HOSTILE, published_network=HOSTILE)
  write_run(tmp_path, HOSTILE, 0, 1.0, config=config)
  write_run(tmp_path, 'plain', 0, 1.0, config=config)
  page, plain = page_of(tmp_path), Page((tmp_path / 'report.html').read_text())
  write_run(tmp_path / 'other', 'plain', 0, 1.0)
  plain = page_of(tmp_path / 'other')
  assert len(page.scripts) == len(plain.scripts) == 2
  assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
  assert page.text.count(HOSTILE) >= 8
  boxes = [box['value'] for box in page.attributes('input') if box.get('value')]
  assert boxes == [HOSTILE, 'plain']
  assert HOSTILE not in page.scripts[-1]
  assert HOSTILE in drawn_lines(page)[0]


def test_it_fetches_nothing(tmp_path):
  write_arms(tmp_path, ERRORS, config_of_own())
  page = page_of(tmp_path)
  assert not any({'src', 'href'} & attributes.keys() for _, attributes in page.elements)
  (policy,) = (meta['content'] for meta in page.attributes('meta') if 'http-equiv' in meta)
  assert policy.startswith("default-src 'none';")


def test_the_same_runs_give_the_same_bytes(tmp_path):
  write_arms(tmp_path, ERRORS, config_of_own())
  report_text(tmp_path)
  first = (tmp_path / 'report.html').read_bytes()
  report_text(tmp_path)
  assert (tmp_path / 'report.html').read_bytes() == first


@pytest.mark.training
def test_many_runs_fit_in_two_megabytes(tmp_path):
  arms = ['fixed-0.9', 'fixed-0.95', 'low0.9-high0.95', 'low0.95-high0.9', 'yoked0.9-0.95']
  write_curves(tmp_path, arms, seeds=12, epochs=200)
  page = page_of(tmp_path)
  assert (tmp_path / 'report.html').stat().st_size < 2_000_000
  images = [attributes for _, attributes in page.elements if attributes.get('role') == 'img']
  assert len(images) == 4 + 2  # the histograms below the curves
