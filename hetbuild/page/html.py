"""Pieces of HTML. Whatever text comes in is escaped here, and nowhere else."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Html(str):
    """Text that is HTML already and stays as it is."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escaped, unless it is HTML already."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def section(name: str, title: str, parts: Iterable[Html]) -> Html:
    """A part of the page with a heading that links can lead to."""
    inside = "\n".join(parts)
    return Html(f'<section id="{text(name)}">\n<h2>{text(title)}</h2>\n{inside}\n</section>')


def heading(value: str) -> Html:
    """Of a part of a section."""
    return Html(f"<h3>{text(value)}</h3>")


def paragraph(value: str, kind: str = "") -> Html:
    """A paragraph; kind: its class."""
    given = f' class="{text(kind)}"' if kind else ""
    return Html(f"<p{given}>{text(value)}</p>")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Html:
    """A table; numbers, and text that is marked by `number`, stand to the right."""
    body = [[_cell(value) for value in row] for row in rows]
    right = [bool(body) and all("<td class" in row[k] for row in body) for k in range(len(head))]
    first = "".join(
        f'<th scope="col"{" class=n" if r else ""}>{text(h)}</th>'
        for h, r in zip(head, right, strict=True)
    )
    titled = f"<caption>{text(caption)}</caption>" if caption else ""
    lines = "\n".join(f"<tr>{''.join(row)}</tr>" for row in body)
    return Html(
        f'<div class="wide"><table>{titled}<thead><tr>{first}</tr></thead>'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )


class Number(str):
    """Text of a number, which stands to the right in a table."""

    __slots__ = ()


def _cell(value: object) -> str:
    kind = ' class="n"' if isinstance(value, (int, float, Number)) else ""
    return f"<td{kind}>{text(value)}</td>"


def facts(pairs: Mapping[str, object]) -> Html:
    """Terms and what they are."""
    return Html(
        "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in pairs.items())
    )


def bar(share: float) -> Html:
    """A bar of so much of 12 rem."""
    return Html(f'<span class="bar" style="width:{12 * min(max(share, 0.0), 1.0):.2f}rem"></span>')


def folded(title: str, inside: Html) -> Html:
    """Closed until it is asked for."""
    return Html(f"<details><summary>{text(title)}</summary>\n{inside}\n</details>")


def verbatim(value: str, name: str = "") -> Html:
    """Lines as they are; with a name, a button copies them."""
    if not name:
        return Html(f"<pre>{text(value)}</pre>")
    button = f'<p><button type="button" data-copy="{text(name)}">Copy</button></p>'
    return Html(f'<pre id="{text(name)}">{text(value)}</pre>{button}')


def figure(drawn: Figure, name: str, label: str, caption: str = "") -> Html:
    """A matplotlib figure as SVG that takes the page's ink for its black, and its colours."""
    import matplotlib as mpl

    from hetbuild.diffraction.plot import COLOURS
    from hetbuild.formats.figure import numbered

    held = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        drawn.savefig(
            held, format="svg", dpi=150, transparent=True, metadata={"Date": None, "Creator": None}
        )
    content = numbered(held.getvalue())
    content = content[content.index("<svg") :]
    # Several figures stand in one document: no two may share an id.
    for reference in (' id="', "url(#", 'href="#'):
        content = content.replace(reference, f"{reference}{name}-")
    content = content.replace("#000000", "currentColor")
    for k, colour in enumerate(COLOURS, 1):
        content = content.replace(colour, f"var(--series-{k})")
    content = content.replace("<svg", f'<svg role="img" aria-label="{text(label)}"', 1)
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Html(f'<figure><div class="wide">{content}</div>{below}</figure>')


def data(value: Any) -> Html:
    """JSON that may stand in a script element whatever strings it holds."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return Html(written)
