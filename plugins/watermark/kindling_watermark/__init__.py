"""Incremental reads for Kindling pipelines: each change once, whatever is killed or lost."""

from kindling_watermark._version import __version__ as __version__
from kindling_watermark.errors import OutputChanged as OutputChanged
from kindling_watermark.errors import SourceRewritten as SourceRewritten
from kindling_watermark.errors import WatermarkError as WatermarkError
from kindling_watermark.errors import WatermarkLost as WatermarkLost
from kindling_watermark.manager import WatermarkManager as WatermarkManager
from kindling_watermark.ranges.values import Watermark as Watermark
