# %% [markdown]
# # hetbuild in Python
# Ten sizes of a perovskite nanocrystal in a loop, a plot of composition against size, and the
# models as ASE and pymatgen objects. Run it as a script, or cell by cell in an editor.

# %%
from pathlib import Path
from tempfile import mkdtemp

import hetbuild as hb

folder = Path(mkdtemp(prefix="hetbuild-"))

# %% [markdown]
# A recipe is a name, a file or a mapping, and any key of it can be set. A cube of n Pb per edge is
# centred on Cs where n is even, on Pb where it is odd.

# %%
cubes = {}
for n in range(1, 11):
    base = "cspbcl3-cube-2" if n % 2 == 0 else "cspbcl3-cube-1"
    cubes[n] = hb.build(base, {"domains.perovskite.facets.0.planes": n / 2, "name": f"cube-{n}"})
    assert cubes[n].charge == 0
    assert (cubes[n].numbers == 55).sum() == (n + 1) ** 3 - (3 * n + 1)  # the published rule
    print(f"{n:2d}", cubes[n])

# %% [markdown]
# Composition against size: a small cube is rich in CsCl, its surface.

# %%
sizes, ratios = [], []
for model in cubes.values():
    cs, pb = ((model.numbers == z).sum() for z in (55, 82))
    sizes.append(float(model.positions[:, 0].max() - model.positions[:, 0].min()) / 10)
    ratios.append(cs / pb)

try:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
except ImportError:
    print("pip install 'hetbuild[plot]' for the plot")
else:
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    axes.plot(sizes, ratios, "o-")
    axes.axhline(1.0, ls=":", color="grey")
    axes.set(xlabel="edge (nm)", ylabel="Cs / Pb", title="CsPbCl$_3$ cubes, charge-neutral")
    figure.savefig(folder / "composition.png", dpi=150)

# %% [markdown]
# ASE and pymatgen objects, and back: everything of the model is kept.

# %%
cube = cubes[4]
atoms = cube.to_ase(vacuum=8.0)
print(atoms)
assert (hb.Model.from_ase(atoms).positions == cube.positions).all()

molecule = cube.to_pymatgen()
print(molecule.composition, molecule.site_properties["formal_charge"][:3])
assert hb.Model.from_pymatgen(molecule).formula == cube.formula

# %% [markdown]
# A daughter by ion exchange, its distance from the parent, a crystal of your own, and files by
# their endings.

# %%
bromide = hb.exchange(cube, {"Cl": "Br"})
print(bromide, bromide.provenance["steps"][0]["done"][0]["put"])

shaken = cube.to_ase()
shaken.rattle(0.05, seed=7)
print(f"rattled by {hb.compare(cube, shaken).rmsd:.3f} Å")

rocksalt = hb.Crystal.from_ase(hb.Crystal.named("PbS").to_ase(), name="galena")
octahedron = hb.carve(rocksalt, [hb.Facet((1, 1, 1), 6)], site="Pb")
print(rocksalt, octahedron, sep="\n")

for name in ("cube.vesta", "cube.cif", "cube.xyz"):
    print(cube.write(folder / name))
