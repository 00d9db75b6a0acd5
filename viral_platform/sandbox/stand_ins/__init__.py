"""Local stand-ins for Gemini, DeepSeek, Apify and Whop: their wire formats, simulated answers.

They can be told to go wrong. They hold to what the official client libraries send and read, where
there are some. Answers are a function of the request; nothing in them was said by a model, seen on
TikTok or paid by anybody.
"""

from viral_platform.sandbox.stand_ins.exchange import Received
from viral_platform.sandbox.stand_ins.faults import Fault
from viral_platform.sandbox.stand_ins.server import StandIn

__all__ = ["Fault", "Received", "StandIn"]
