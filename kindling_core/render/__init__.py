"""Pictures of a plan and its run: text, mermaid, and a self-contained HTML file."""

from __future__ import annotations

from kindling_core.render._html import render_html
from kindling_core.render._mermaid import render_mermaid
from kindling_core.render._picture import GraphNode, GraphPicture, picture_of
from kindling_core.render._text import render_text

__all__ = ["GraphNode", "GraphPicture", "picture_of", "render_html", "render_mermaid", "render_text"]
