"""SSH host keys of Git servers, in known_hosts format as Flux reads them."""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

SSH_PORT = 22


def ssh_address(url: str) -> tuple[str, int]:
    """Host and port of an ssh:// URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or SSH_PORT


def keyscan(url: str) -> str:
    """The command that prints the host keys of an ssh:// URL's server."""
    host, port = ssh_address(url)
    return f"ssh-keyscan {host}" if port == SSH_PORT else f"ssh-keyscan -p {port} {host}"


def known_hosts_error(text: str, url: str) -> tuple[str, str] | None:
    """Why host keys are not those of an ssh:// URL's server, and what to write; None if they are."""
    host, port = ssh_address(url)
    remedy = f"Write the output of `{keyscan(url)}`, after verifying it."
    trusted = False
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        marker = fields.pop(0) if fields[0] in ("@cert-authority", "@revoked") else ""
        if len(fields) < 3 or not _is_key(fields[1], fields[2]):
            return f"line {number} is not a host key", f"{remedy} A line is: HOST TYPE KEY."
        trusted |= marker != "@revoked" and _names(fields[0], host, port)
    if trusted:
        return None
    address = host if port == SSH_PORT else f"[{host}]:{port}"
    form = "" if port == SSH_PORT else f" Keys of another port than {SSH_PORT} begin with {address}."
    return f"no key of {address}", remedy + form


def _is_key(kind: str, key: str) -> bool:
    """Whether a key is complete and of the type that the line names."""
    try:
        blob = b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False
    fields: list[bytes] = []
    while blob:
        size, rest = int.from_bytes(blob[:4], "big"), blob[4:]
        if len(blob) < 4 or len(rest) < size:
            return False
        fields.append(rest[:size])
        blob = rest[size:]
    return len(fields) > 1 and fields[0] == kind.encode()


def _names(patterns: str, host: str, port: int) -> bool:
    """Whether the first field of a known_hosts line stands for a host at a port."""
    if patterns.startswith("|"):
        address = host if port == SSH_PORT else f"[{host}]:{port}"
        found = re.fullmatch(r"\|1\|([^|]+)\|([^|]+)", patterns)
        try:
            return bool(found) and hmac.digest(b64decode(found[1]), address.encode(), "sha1") == b64decode(found[2])
        except binascii.Error:
            return False
    named = False
    for pattern in patterns.split(","):
        name = pattern.removeprefix("!")
        with_port = re.fullmatch(r"\[(.+)\]:(\d+)", name)
        name, named_port = (with_port[1], int(with_port[2])) if with_port else (name, SSH_PORT)
        # Brackets have no meaning here, unlike in fnmatch.
        if named_port == port and fnmatchcase(host, name.replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            named = True
    return named
