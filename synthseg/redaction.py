"""Credentials in the location of a run, a dataset or a mirror: hidden wherever a location is told."""

from __future__ import annotations

import re
from typing import Final

_HIDDEN: Final = "***"
_USER_AND_PASSWORD: Final = re.compile(
    r"(:/{1,2})(?!\[)[^\s/?#@:]*:"  # a slash may have been forgotten; a bracket begins an IPv6 address
    r"(?:[^\s/?#]*@"
    r"|(?!\d+[/?#])[^\s@]*@)"  # a password with a slash in it, as AWS makes them, and no port in front of a path
)
_TOKEN_AS_USER: Final = re.compile(r"(https?://)[^\s/?#@:]+@", re.IGNORECASE)
_PARAMETER: Final = re.compile(
    r"([?&;](?:[\w.~-]*(?:key|secret|token|passwd|password|pwd|signature|credential|sas)[\w.~-]*|sig)=)[^\s&;,#'\"<>)]+", re.IGNORECASE
)


def redacted(text: str) -> str:
    """`text` with the credentials of every URI in it replaced by `***`.

    Those are USER:PASSWORD@, a token in place of the user in http(s), and the values of parameters such as access_key, secret_key, token
    and sig (of a shared access signature). A text that is to be cut must be redacted first: half a URI is not known as one.
    """
    for pattern, kept in ((_USER_AND_PASSWORD, rf"\1{_HIDDEN}@"), (_TOKEN_AS_USER, rf"\1{_HIDDEN}@"), (_PARAMETER, rf"\1{_HIDDEN}")):
        text = pattern.sub(kept, text)
    return text
