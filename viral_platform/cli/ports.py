"""TCP ports of this machine: who listens, and whether one answers."""

from __future__ import annotations

import errno
import socket

import psutil

HOST = "127.0.0.1"
_CONNECT_SECONDS = 1.0


def answers(port: int) -> bool:
    """Return whether something accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as listener:
        number: int = listener.getsockname()[1]
    return number


def why_unusable(port: int, host: str = HOST) -> str | None:
    """Return why we cannot listen on the port, None when we can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        # As servers do; else the closed connections of the last start would count as in use.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port} is in use by {_holder(port)}"
            return f"port {port} cannot be opened: {error.strerror or error}"
    return None


def _holder(port: int) -> str:
    """Return the name and pid of the process that listens, as far as we may know it."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and port in connection.laddr[1:]
            if listens and connection.pid is not None:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # other users' processes are not shown to everyone
    return "another program"
