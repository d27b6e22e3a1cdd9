"""What the runs in a directory say: tables, words and plots.

make_report    the story: reads, compares, prints, writes
read_runs      the runs of a directory; presentation: what they are, in words; metric: its name
statistics     means, intervals, Holm's adjustment; pooling: the scatter that arms share
contrasts      which arm is set against which
tables, words, files    how it is printed and written
curves    what is drawn; published: the paper's curves; styles: how arms look
plots, difference_plot    the pictures
page, interactive_curves    the same for a browser
"""

from train.reports.make_report import import_what_reports_need, report
from train.reports.read_runs import check_results

__all__ = ['check_results', 'import_what_reports_need', 'report']
