"""Many simulations from one file: rules beside each other in every cell of a grid, and the one to be regretted least.

>>> from robustagg.studies import load_study, recommend, run_grid, show, situations, regrets
"""

from robustagg.studies.grid import run_grid
from robustagg.studies.pictures import show
from robustagg.studies.recommend import Recommendation, recommend
from robustagg.studies.regret import Figures, Regret, Situation, regrets, situations
from robustagg.studies.store import Row, Store
from robustagg.studies.study import Cell, Study, load_study, study

__all__ = [
    "Cell",
    "Figures",
    "Recommendation",
    "Regret",
    "Row",
    "Situation",
    "Store",
    "Study",
    "load_study",
    "recommend",
    "regrets",
    "run_grid",
    "show",
    "situations",
    "study",
]
