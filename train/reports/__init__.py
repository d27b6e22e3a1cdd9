"""Reports on the runs in a directory: tables, sentences and plots.

make_report    the whole report: reads, compares, prints, writes
read_runs      the runs of a directory, and the names of their metric
contrasts      which arms are compared; pooling: the scatter that arms share
tables, words, files    what is printed and written
curves         what is drawn, the paper's curves among it; styles: the look of each arm
last_values    histograms of many seeds
plots          the pictures; page, interactive_curves: the same for a browser
"""

from train.reports.make_report import import_what_reports_need, report
from train.reports.read_runs import check_results

__all__ = ['check_results', 'import_what_reports_need', 'report']
