"""Build the CsPbCl3/PbS model in Python and hand it to ASE."""

from hetbuild.analyse.report import inspect
from hetbuild.library import find_recipe
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import build

model = build(read_recipe(find_recipe("cspbcl3-pbs")))
report = inspect(model)
print(report.formula, f"{report.charge:+d} e", report.formulas)
print(model.to_ase())
