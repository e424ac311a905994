"""TCP ports of this machine, and whether what listens on them answers."""

import http.client
import socket
import urllib.request

HOST = "127.0.0.1"
_EVERYWHERE = {"0.0.0.0": HOST, "::": "::1"}  # noqa: S104 - to be recognised
# A proxy of the environment (http_proxy) is for what is far away; it could not reach this machine's loopback.
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def reach(host: str) -> str:
    """Where a server that listens on `host` is asked from this machine: the loopback for one that listens everywhere."""
    return _EVERYWHERE.get(host, host)


def address(host: str, port: int) -> str:
    """`host:port` as URLs have it, of a server that listens on `host`."""
    found = reach(host)
    return f"[{found}]:{port}" if ":" in found else f"{found}:{port}"


def is_ready(url: str) -> bool:
    """Whether the service at this URL says that it may take traffic."""
    try:
        with _DIRECTLY.open(f"{url}/readyz", timeout=1.0) as answer:
            return int(answer.status) == 200
    except (OSError, http.client.HTTPException):
        return False


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen on this port now."""
    return _can_bind(host, port)


def is_here(host: str) -> bool:
    """Whether this machine has the address: some port of it can be listened on."""
    return _can_bind(host, 0)


def _can_bind(host: str, port: int) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on now. Another program may take one before it is used."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in held:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()
