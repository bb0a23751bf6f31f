"""The commands of the feature ``state``: ``kindling runs`` with its own, and ``kindling resume``."""

from kindling_state.commands import cancel as cancel
from kindling_state.commands import compare as compare
from kindling_state.commands import prune as prune
from kindling_state.commands import show as show
from kindling_state.commands.resume import resume as resume
from kindling_state.commands.runs import runs as runs
