"""E-mail by ``sendmail``, which every mail transfer agent brings."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from email.message import EmailMessage

from gaudi_perf.notifying.programs import run
from gaudi_perf.vocabulary.errors import UserError

_ADDRESS = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+\Z")


def checked(address: str) -> str:
    """An address, if it can be one; UserError if not."""
    if not (_ADDRESS.match(address) and address.isprintable()):
        raise UserError(f"{address[:80]!r}: is no address of e-mail: write it like perf@example.com")
    return address


def send(recipients: Sequence[str], sender: str, subject: str, text: str) -> None:
    """Send a message to ``checked`` addresses; an empty sender is the system's.
    Raises UserError if there is no sendmail, or it fails.
    """
    message = EmailMessage()
    message["To"] = ", ".join(recipients)
    if sender:
        message["From"] = sender
    message["Subject"] = subject
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    program = shutil.which("sendmail") or "/usr/sbin/sendmail"
    run([program, "-t", "-oi"], message.as_string(), remedy="install a mail transfer agent, for instance msmtp")
