"""Under which names a server of this machine may be asked."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

ANY = "*"
"""Instead of a name: every name is taken."""
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Hosts:
    """The names that a request's Host header may have.

    A page of another site can make a browser ask a server of this machine, by a name of its own
    that leads here (DNS rebinding). The Host header shows that name.

    Args:
        own: Names and addresses besides those of this machine. An unspecified address, such as
            0.0.0.0, stands for all addresses, and ``ANY`` for all names.
    """

    def __init__(self, own: Collection[str]) -> None:
        self._names = LOCAL | {name.lower() for name in own}
        self._addresses = any(_is_ip(name) and ip_address(name).is_unspecified for name in own)

    def has(self, header: str) -> bool:
        """Whether a Host header, with or without a port, has one of the names."""
        if ANY in self._names:
            return True
        try:
            name = urlsplit(f"//{header}").hostname
        except ValueError:
            return False
        return name is not None and (name in self._names or (self._addresses and _is_ip(name)))


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
