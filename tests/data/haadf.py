"""Makes haadf.npz: the frozen-phonon multislice image the projected one is tested against.

python tests/data/haadf.py [MODEL.xyz]; needs hetbuild[stem] and some minutes. Kept in the file:
the atoms on the screen (right, up, towards the viewer, Å), the image of a point source, its
sampling and corner.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from hetbuild.formats.xyz import read_xyz
from hetbuild.library import find_recipe
from hetbuild.microscopy.multislice import Microscope, multislice
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import build


def main(words: list[str]) -> None:
    """Image down [0 0 1] of CsPbCl3, the interface edge on."""
    model = read_xyz(Path(words[0])) if words else build(read_recipe(find_recipe("cspbcl3-pbs")))
    start = time.process_time()
    made = multislice(
        model, zone=(0, 0, 1), of="perovskite", microscope=Microscope(source=0.0), progress=print
    )
    print(made.method, made.pixels.shape, f"{time.process_time() - start:.0f} s CPU")
    np.savez_compressed(
        Path(__file__).with_suffix(".npz"),
        numbers=model.numbers.astype(np.uint8),
        screen=made.view.project(model.positions).astype(np.float32),
        pixels=made.pixels.astype(np.float16),
        sampling=made.sampling,
        corner=np.array(made.corner),
        method=made.method,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
