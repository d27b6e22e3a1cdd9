"""Configures the site: python -m sphinx -W -n -c docs . build/site.

The source folder is the root of the repository, so that the pages of results, examples and studies
are used where they are, without copies.
"""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]
LONGEST_CELL = 60  # letters of a cell of numbers, or of a few words
sys.path.insert(0, str(ROOT))

import docutils.nodes  # noqa: E402
import latex2mathml.converter  # noqa: E402

import lcam_optax  # noqa: E402

project = 'lcam-optax'
author = 'The lcam-optax Authors'
copyright = f'2026, {author}'
version = release = lcam_optax.__version__

extensions = [
  'myst_nb',
  'sphinx.ext.autodoc',
  'sphinx.ext.intersphinx',
  'sphinx.ext.napoleon',
]
root_doc = 'docs/index'
include_patterns = ['docs/*.md', 'examples/*.md', 'results/**.md', 'studies/README.md']
include_patterns += ['CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md']
templates_path = ['_templates']

html_theme = 'sphinx_book_theme'
html_title = 'lcam-optax'
# The left column has a search field; the theme would add a second one above it by default.
html_theme_options = {'show_toc_level': 2, 'navbar_persistent': []}
html_static_path = ['_static']
html_css_files = ['narrow.css']
html_additional_pages = {'index': 'to-the-first-page.html'}
html_copy_source = False
html_math_renderer = 'mathml'
html_show_sourcelink = False

myst_enable_extensions = ['amsmath', 'dollarmath']
myst_heading_anchors = 3
nb_execution_mode = 'force'
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = 'remove'  # warnings of slow compilations

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings also have shapes and dtypes
napoleon_attr_annotations = False
napoleon_use_rtype = False

# Links to other projects' documentation need the network, which a build must not need: they are made
# only where the site is published.
intersphinx_mapping = {}
if os.environ.get('LCAM_DOCS_LINKS'):
  intersphinx_mapping = {
    'flax': ('https://flax.readthedocs.io/en/latest', None),
    'jax': ('https://docs.jax.dev/en/latest', None),
    'numpy': ('https://numpy.org/doc/stable', None),
    'optax': ('https://optax.readthedocs.io/en/latest', None),
    'python': ('https://docs.python.org/3', None),
  }
nitpick_ignore_regex = [('py:.*', r'((flax|jax|jnp|np|numpy|nnx|optax)\..*|UserError|DataError)')]


def _unlink_folders(app, page, content):
  """Replaces links to folders, which are pages on GitHub but not here, by their text."""
  del app
  folder = (ROOT / page).parent

  def rewrite(match):
    text, target = match.groups()
    return text if (folder / target).is_dir() else match[0]

  content[0] = re.sub(r'\[([^][]*)\]\(([^)\s]+)\)', rewrite, content[0])


def _leave_reports_to_results(app, document):
  """Marks reports as pages that are linked from the page of results, not from the list of pages."""
  del document
  page = app.env.docname
  if page.startswith('results/') and page != 'results/README':
    app.env.metadata[page]['orphan'] = True


def _keep_intervals_whole(app, document):
  """Prevents line breaks between a number and its interval, in text."""
  del app
  for text in list(document.findall(docutils.nodes.Text)):
    if ' ± ' in text and not isinstance(text.parent, docutils.nodes.literal_block):
      text.parent.replace(
        text, docutils.nodes.Text(text.replace(' ± ', '\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}'))
      )


def _make_figures(app, document):
  """Makes an image and the emphasized text below it, in one paragraph, a figure with a caption."""
  del app
  for image in list(document.findall(docutils.nodes.image)):
    paragraph = image.parent
    if len(paragraph) == 3 and isinstance(paragraph[2], docutils.nodes.emphasis):
      caption = docutils.nodes.caption('', '', *paragraph[2].children)
      figure = docutils.nodes.figure('', image, caption)
      document.set_id(figure)
      paragraph.replace_self(figure)


def _label_long_cells(app, document):
  """Prepares tables with sentences for phones, where narrow.css shows each row as a list."""
  del app
  for table in document.findall(docutils.nodes.table):
    head, *rows = table.findall(docutils.nodes.row)
    if max(len(cell.astext()) for row in rows for cell in row) > LONGEST_CELL:
      table['classes'].append('sentences')
      for cell, name in (
        (cell, name) for row in rows for cell, name in zip(row, head, strict=True)
      ):
        if cell.children and name.astext():
          cell[0].insert(0, docutils.nodes.inline('', f'{name.astext()}: ', classes=['column']))


def _formula(translator, node):
  """Writes a formula as MathML, which browsers draw; readers would have to download MathJax."""
  display = 'block' if isinstance(node, docutils.nodes.math_block) else 'inline'
  translator.body.append(latex2mathml.converter.convert(node.astext(), display=display))
  raise docutils.nodes.SkipNode


def setup(app):
  """Registers the functions above; Sphinx calls it."""
  app.add_html_math_renderer('mathml', (_formula, None), (_formula, None))
  app.connect('source-read', _unlink_folders)
  app.connect('doctree-read', _leave_reports_to_results)
  app.connect('doctree-read', _make_figures)
  app.connect('doctree-read', _label_long_cells)
  app.connect('doctree-read', _keep_intervals_whole)
