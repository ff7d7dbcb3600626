"""The directive `gallery`: every shipped recipe built, with its picture, formula and title."""

from __future__ import annotations

import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

EXAMPLES = Path(__file__).parents[2] / "examples"


class Gallery(Directive):
    """One section for each recipe; pictures are drawn from the VESTA file of the build."""

    def run(self) -> list[nodes.Node]:
        """Build all; a picture that stands from an earlier build of the site is kept."""
        from hetbuild.library import recipes
        from hetbuild.recipe.read import read_recipe
        from hetbuild.recipe.run import build

        sys.path.insert(0, str(EXAMPLES))
        from render import draw_model

        folder = Path(self.state.document.settings.env.srcdir) / "gallery"
        folder.mkdir(exist_ok=True)
        lines: list[str] = []
        for name, path in recipes().items():
            recipe = read_recipe(path)
            model = build(recipe)
            draw_model(model, folder / f"{name}.png")
            lines += [
                f"## {name}",
                "",
                f"{recipe.title}. **{model.formula}**, {len(model)} atoms, {model.charge:+d} e.",
                "",
                f"![{recipe.title}](gallery/{name}.png)",
                "",
            ]
        here = nodes.section()
        here.document = self.state.document
        self.state.nested_parse(
            StringList(lines, source="gallery"), self.content_offset, here, match_titles=True
        )
        return here.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": True}
