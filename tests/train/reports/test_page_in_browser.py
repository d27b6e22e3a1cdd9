"""The report as a reader has it before them: arms go and come back at a click."""

import io
import shutil

import numpy as np
import pytest
from matplotlib import colors, image

from tests.train.reports.support import config_of_own, report_text, write_run
from train.problem.arms import arm_of_name
from train.reports.styles import style_of

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
ARMS = ('fixed-0.9', 'low0.9-high0.95', 'low0.95-high0.9')
HOSTILE = '<img src=x onerror="window.hacked = 1">'
WIDTHS = (1300, 390)


@pytest.fixture(scope='module')
def browser():
  api = pytest.importorskip('playwright.sync_api', reason='needs `pip install -e ".[browser]"`')
  installed = next(filter(None, map(shutil.which, BROWSERS)), None)
  with api.sync_playwright() as playwright:
    try:
      opened = playwright.chromium.launch(executable_path=installed)
    except api.Error:
      pytest.skip('needs a browser: install Chromium, or `playwright install chromium`')
    yield opened
    opened.close()


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('page')
  config = config_of_own(title=HOSTILE, metric_label=HOSTILE)
  for place, arm in enumerate((*ARMS, HOSTILE)):
    for seed in range(3):
      write_run(workdir, arm, seed, 1.0 + place, epochs=3, config=config)
  report_text(workdir)
  return workdir / 'report.html'


@pytest.fixture(params=['light', 'dark'])
def page(browser, written, request):
  """Returns the open page; whatever it complains of or fetches is an error."""
  context = browser.new_context(color_scheme=request.param)
  page = context.new_page()
  complaints = []
  page.on('pageerror', lambda error: complaints.append(str(error)))
  page.on('console', lambda said: complaints.append(said.text) if said.type == 'error' else None)
  page.on('request', lambda asked: complaints.append(asked.url))
  page.goto(written.as_uri())
  page.wait_for_selector('body[data-drawn]')
  yield page
  assert complaints == [written.as_uri()]
  assert page.evaluate('window.hacked') is None
  context.close()


def wait_until(page, condition):
  """Waits, a number of frames, for what must become true.

  Playwright's own way to wait compiles the condition in the page, which forbids that.
  """
  page.evaluate(f"""new Promise((done, fail) => {{
    let frames = 0;
    const look = () => ({condition}) ? done() : frames++ > 600 ? fail() : requestAnimationFrame(look);
    look();
  }})""")


def pixels(page, panel=0):
  wait_until(page, 'Bokeh.documents.every((drawn) => drawn.is_idle)')
  page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
  return image.imread(io.BytesIO(page.locator(f'#panel-{panel}').screenshot()))[..., :3]


def count(drawn, colour):
  return int(np.sum(np.abs(drawn - colors.to_rgb(colour)).max(-1) < 0.04))


def test_an_arm_goes_and_comes_back_in_every_panel(page):
  colour = style_of(ARMS[1], arm_of_name(ARMS[1]).config()).color
  other = style_of(ARMS[2], arm_of_name(ARMS[2]).config()).color
  label = page.locator('label', has_text=ARMS[1])
  assert count(pixels(page), colour) > 50  # in the other panels the arms lie on each other
  label.click()
  for panel in range(4):
    assert count(pixels(page, panel), colour) == 0
  assert count(pixels(page), other) > 50
  label.click()
  assert count(pixels(page), colour) > 50


def test_all_arms_go_and_come_back_at_once(page):
  colours = [style_of(arm, arm_of_name(arm).config()).color for arm in ARMS[1:]]
  page.get_by_role('button', name='None').click()
  assert [count(pixels(page), colour) for colour in colours] == [0, 0]
  page.get_by_role('button', name='All').click()
  assert min(count(pixels(page), colour) for colour in colours) > 50


def test_what_is_black_can_be_seen_on_a_dark_page(page):
  ink = page.evaluate('getComputedStyle(document.body).color')
  shade = [int(part) / 255 for part in ink[4:-1].split(',')]
  before = count(pixels(page), shade)
  page.locator('label', has_text=ARMS[0]).click()
  assert before - count(pixels(page), shade) > 50


@pytest.mark.parametrize('width', WIDTHS)
def test_it_is_not_wider_than_the_window(page, width):
  page.set_viewport_size({'width': width, 'height': 800})
  wait_until(page, f'document.documentElement.scrollWidth <= {width}')
  assert pixels(page).shape[1] <= width


def test_a_phone_shows_differences_and_their_p(page):
  page.set_viewport_size({'width': 390, 'height': 800})
  ends = page.evaluate(
    "[...document.querySelectorAll('thead th')].filter(head => ['difference', 'Holm p'].includes("
    'head.textContent)).map(head => head.getBoundingClientRect().right)'
  )
  assert len(ends) == 2
  assert max(ends) <= 390
