"""Reports to look at: one HTML file with everything in it, which loads nothing.

The functions take plain data (`Comparison.report_data`) or an `Evaluation` and return a page as
text.
"""

from fairvision.reports._comparison import comparison_page, plot_comparison
from fairvision.reports._data_card import data_card_page
from fairvision.reports._evaluation import evaluation_page
from fairvision.reports._page import write_page
from fairvision.reports._png import read_note, write_figure

__all__ = [
    "comparison_page",
    "data_card_page",
    "evaluation_page",
    "plot_comparison",
    "read_note",
    "write_figure",
    "write_page",
]
