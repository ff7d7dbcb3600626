"""The directive `public-names`: every name of `hetbuild.__all__`, out of its docstring."""

from __future__ import annotations

import inspect

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx


def kind(value: object) -> str:
    """The autodoc directive of an object."""
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if callable(value) else "autodata"


class PublicNames(Directive):
    """One autodoc entry for each public name, classes with their members."""

    def run(self) -> list[nodes.Node]:
        """In the order of the list."""
        import hetbuild as hb

        lines: list[str] = []
        for name in sorted(hb.__all__, key=str.lower):
            value = getattr(hb, name)
            if name == "__version__":
                continue
            lines += [f".. {kind(value)}:: hetbuild.{name}"]
            if inspect.isclass(value):
                lines += ["   :members:"]
            lines += [""]
        text = ["```{eval-rst}", *lines, "```"]
        here = nodes.section()
        here.document = self.state.document
        self.state.nested_parse(
            StringList(text, source="public names"), self.content_offset, here, match_titles=True
        )
        return here.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True}
