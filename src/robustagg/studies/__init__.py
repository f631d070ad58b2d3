"""Many simulations from one file: rules beside each other in every cell of a grid, and the one to be regretted least.

>>> from robustagg.studies import load_study, recommend, run_grid, show, situations, regrets
"""

from robustagg.studies.grid import run_grid
from robustagg.studies.pictures import show
from robustagg.studies.recommend import Recommendation, recommend
from robustagg.studies.regret import Figures, Regret, Situation, regrets, situations
from robustagg.studies.scenarios import Scenario, draw_scenarios, load_scenarios
from robustagg.studies.store import Row, Store
from robustagg.studies.study import Cell, Study, load_study, study
from robustagg.studies.sweeps import over

__all__ = [
    "Cell",
    "Figures",
    "Recommendation",
    "Regret",
    "Row",
    "Scenario",
    "Situation",
    "Store",
    "Study",
    "draw_scenarios",
    "load_scenarios",
    "load_study",
    "over",
    "recommend",
    "regrets",
    "run_grid",
    "show",
    "situations",
    "study",
]
