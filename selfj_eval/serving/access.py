"""The token without which nothing is judged, where there is one."""

from __future__ import annotations

import hmac
import ipaddress
import os

from selfj_eval.errors import DataError

VARIABLE = "SELFJ_SERVE_TOKEN"


def token_from_environment() -> str | None:
    """The token, or None where there is none.

    Raises:
        DataError: If it is empty, or cannot stand in a header.
    """
    token = os.environ.get(VARIABLE)
    if token is None:
        return None
    if not token or not all("!" <= character <= "~" for character in token):
        raise DataError(
            f"the environment variable {VARIABLE} must hold a token of letters, digits and signs, "
            "without blanks; set it to one, or unset it."
        )
    return token


def refuse_open(host: str, token: str | None) -> None:
    """Refuse to listen where other machines can reach it without a token.

    Raises:
        DataError: If there is no token, and the address is not this machine's own.
    """
    if token is None and not _is_loopback(host):
        raise DataError(
            f"other machines may reach {host}, and there is no token: put one into the "
            f"environment variable {VARIABLE}, or leave out `host` to listen on 127.0.0.1 only."
        )


def is_allowed(header: bytes | None, token: str) -> bool:
    """Whether an Authorization header holds the token; the time it takes says nothing of it."""
    scheme, _, given = (header or b"").partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token.encode())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may mean any address
        return False
