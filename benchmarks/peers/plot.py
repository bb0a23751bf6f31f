"""Draws results.json as results.svg: microseconds a pipe, on a logarithmic scale."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
# Seen well on white and on black.
GREY = "#808080"

rows = [one for one in json.loads((HERE / "results.json").read_text()) if one["part"] == "noop"]
cases = list(dict.fromkeys((one["shape"], one["size"]) for one in rows))
peers = list(dict.fromkeys(one["peer"] for one in rows))
figure, axes = plt.subplots(figsize=(9, 4.2))
height = 0.8 / len(peers)
axes.set_xscale("log")
axes.set_xlim(left=5)
for index, peer in enumerate(peers):
    label: str | None = peer
    for place, (shape, size) in enumerate(cases):
        one = next(row for row in rows if row["peer"] == peer and (row["shape"], row["size"]) == (shape, size))
        over = "over" in one
        value = one["over"] / size * 1e6 if over else one.get("per_pipe_us")
        if value is None:
            axes.text(axes.get_xlim()[0], place + index * height, " failed", va="center", fontsize=6, color=GREY)
            continue
        y = place + index * height
        axes.barh(y, value, height * 0.9, color=f"C{index}", alpha=0.4 if over else 1, label=label)
        label = None
        told = f" over {value:,.0f}" if over else f" {value:,.0f}"
        axes.text(value, y, told, va="center", fontsize=6, color=GREY)
axes.set_yticks([place + 0.4 - height / 2 for place in range(len(cases))])
axes.set_yticklabels([f"{shape} of {size:,}" for shape, size in cases])
axes.invert_yaxis()
axes.set_xlabel("microseconds a pipe that does nothing (logarithmic)")
axes.legend(fontsize=7, frameon=False, labelcolor=GREY, loc="upper left", bbox_to_anchor=(1.01, 1))
for part in (axes.xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
    part.set_color(GREY)
axes.tick_params(colors=GREY)
for spine in axes.spines.values():
    spine.set_color(GREY)
figure.tight_layout()
figure.savefig(HERE / "results.svg", transparent=True, metadata={"Date": None, "Creator": None})
