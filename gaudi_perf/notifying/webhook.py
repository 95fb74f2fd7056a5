"""A webhook: notices as JSON over HTTP. Its address is a secret, and stands in no argument, message or log."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from gaudi_perf.vocabulary.errors import UserError

VARIABLE = "GAUDI_PERF_WEBHOOK_URL"
_SECONDS = 20.0
_PAUSES_S = (1.0, 4.0)
_HERE = ("localhost", "127.0.0.1", "::1")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: notices go to the given address alone."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def checked(address: str) -> str:
    """The address, if it can be one of a webhook: by https, or on this machine; UserError, without it, if not."""
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)
        )
    except ValueError:
        usable = False
    if not usable or not address.isprintable():
        raise UserError(f"{VARIABLE}: is no address of a webhook, which begins with https://: put it there")
    return address


def post(address: str, data: bytes) -> None:
    """Post JSON to a ``checked`` address; a server that is busy or down is asked three times.
    Raises UserError, without the address, if nobody takes the message.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "gaudi-perf"}
    request = urllib.request.Request(address, data=data, headers=headers, method="POST")
    opener = urllib.request.build_opener(_NoRedirect)
    problem = ""
    for pause in (*_PAUSES_S, None):
        try:
            with opener.open(request, timeout=_SECONDS):
                return
        except urllib.error.HTTPError as error:
            problem = f"answered {error.code}"
            error.close()
            if error.code < 500 and error.code != 429:
                break
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            problem = f"cannot be reached ({getattr(reason, 'strerror', None) or type(reason).__name__})"
        if pause is not None:
            time.sleep(pause)
    raise UserError(f"the webhook of {VARIABLE} {problem}: look whether its address still holds")
