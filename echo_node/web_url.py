"""The address of a DICOMweb service in config.yaml."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def keeps_secrets(url: str) -> bool:
    """Can a password go there without being read on the way: by https, or within this machine?"""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return parts.scheme == "https" or is_loopback
