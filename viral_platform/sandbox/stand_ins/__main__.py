"""The stand-ins as a process of their own.

`python -m viral_platform.sandbox.stand_ins --port 8090 [--scenario FILE]` writes one JSON line
with the address when it serves, and runs until it is interrupted or terminated.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from viral_platform.sandbox.stand_ins import StandIn


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m viral_platform.sandbox.stand_ins")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: a free one")
    parser.add_argument("--scenario", type=Path, help="JSON file of faults")
    asked = parser.parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    # Threads inherit the mask, so the signal reaches nobody but sigwait.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with StandIn(port=asked.port, scenario=asked.scenario) as stand_in:
        sys.stdout.write(json.dumps({"base_url": stand_in.base_url}) + "\n")
        sys.stdout.flush()
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
