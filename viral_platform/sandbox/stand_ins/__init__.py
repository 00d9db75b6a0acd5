"""Local stand-ins for Gemini, DeepSeek and Apify: their wire formats, simulated answers, faults.

They hold to what the official client libraries send and read. Answers are a function of the
request; nothing in them was said by a model or seen on TikTok.
"""

from viral_platform.sandbox.stand_ins.exchange import Received
from viral_platform.sandbox.stand_ins.faults import Fault
from viral_platform.sandbox.stand_ins.server import StandIn

__all__ = ["Fault", "Received", "StandIn"]
