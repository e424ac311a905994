"""The HTML of a mail as an agent may see it: no scripts, forms or frames, and nothing that is loaded from anywhere.

What a picture shows comes from the mail itself (`cid:`) or not at all: a remote one tells its sender who read the mail and when.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from urllib.parse import unquote

import nh3

from services.intake.channels.html_text import html_to_text
from services.intake.channels.weighed_html import weighed

HTML_CAP = 1_000_000  # characters that are shown
_TAGS = frozenset(
    """
    a abbr b bdi bdo blockquote br caption center cite code col colgroup dd del dfn div dl dt em font h1 h2 h3 h4
    h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strike strong sub sup table tbody td tfoot th
    thead time tr tt u ul var wbr
    """.split()  # noqa: SIM905
)
_UNSEEN = frozenset(
    ["script", "style", "title", "template", "noscript", "iframe", "object", "embed", "svg", "math", "select", "textarea"]
)
_CELL = {"align", "valign", "colspan", "rowspan", "width", "height", "bgcolor", "nowrap"}
_ATTRIBUTES = {
    "*": {"dir", "lang", "title", "style", "align"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "border"},
    "table": {"align", "border", "cellpadding", "cellspacing", "width", "bgcolor"},
    "td": _CELL,
    "th": _CELL,
    "tr": {"align", "valign", "bgcolor"},
    "col": {"span", "width"},
    "font": {"color", "face", "size"},
    "ol": {"start", "type"},
}
_WRITTEN = {tag: frozenset(_ATTRIBUTES.get(tag, ())) for tag in (*_TAGS, "*")}
# None of them can name anything to be loaded, or leave its place on the page.
_STYLES = {
    "background-color", "border", "border-collapse", "border-color", "border-style", "border-width", "color", "direction",
    "font-family", "font-size", "font-style", "font-weight", "line-height", "padding", "text-align", "text-decoration",
    "text-indent", "unicode-bidi", "vertical-align", "white-space", "width",
}  # fmt: skip
_SCHEMES = {"http", "https", "mailto", "tel", "cid"}


def safe_html(html: str, link_of: Callable[[str], str | None]) -> str:
    """The HTML made safe. `link_of` gives the link to the file of a Content-ID, None where there is no such file. What a browser
    would make far more of than was sent is shown as its text.
    """
    written = weighed(html[:HTML_CAP], _WRITTEN, _UNSEEN)
    if written.too_heavy:
        return f'<div style="white-space:pre-wrap">{escape(html_to_text(html[:HTML_CAP]))}</div>'

    def attribute(tag: str, name: str, value: str) -> str | None:
        if tag == "img" and name == "src":
            scheme, _, content_id = value.strip().partition(":")
            return link_of(unquote(content_id)) if scheme.lower() == "cid" else None
        if name == "href" and value.strip().lower().startswith("cid:"):
            return None
        return None if name == "style" and ("url(" in value.lower() or "\\" in value) else value

    return nh3.clean(
        written.html,
        tags=set(_TAGS),
        clean_content_tags=set(_UNSEEN),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=attribute,
        strip_comments=True,
        link_rel="noopener noreferrer",
        url_schemes=set(_SCHEMES),
        url_relative="deny",
        filter_style_properties=set(_STYLES),
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
