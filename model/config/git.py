"""Git servers: what Flux reads as URLs, ranges of versions and SSH host keys, and what people paste instead."""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

SSH_PORT = 22
GITHUB = "github.com"

RSA_ONLY = re.compile(
    r"(ssh\.|vs-ssh\.)?dev\.azure\.com|([a-z0-9-]+\.)?visualstudio\.com|git-codecommit(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?"
)
"""The hosts of Azure DevOps and AWS CodeCommit."""
RSA_REMEDY = (
    "Move the product to a server that takes ECDSA keys, such as GitHub or GitLab, or mirror it there and write the "
    "mirror's URL here."
)
PUBLIC_URL = "Write https://HOST/OWNER/NAME or ssh://git@HOST/OWNER/NAME."


def rsa_only(host: str) -> bool:
    """Whether a server refuses ECDSA keys, which deploy keys are."""
    return RSA_ONLY.fullmatch(host) is not None


def rsa_message(host: str) -> str:
    """Message and remedy for a private source on a server that accepts RSA keys only."""
    return f"{host} takes RSA keys only, and deploy keys here are ECDSA keys"


def foreign_notation(value: str) -> tuple[str, str] | None:
    """Message and remedy for a URL in another tool's notation; None for other URLs."""
    if value.startswith(("codecommit:", "codecommit+")):
        return "Flux does not support git-remote-codecommit", RSA_REMEDY
    if found := re.match(r"git(::|\+)(?=(https?|ssh)://)", value):
        return f"{found[0]} is another tool's notation", f"Write {value[found.end() :]}."
    if re.match(r"[A-Za-z]:[\\/]|[a-z+]+::", value):
        return f"{value!r} is not a repository URL", PUBLIC_URL
    # Also with a scheme that does not belong there: ssh://git@github.com:acme/shop.
    # Not a password: ssh://git:password@github.com/acme/shop.
    if found := re.fullmatch(r"(?:ssh://(?=[^/]*:\D))?(?:([\w.-]+)@)?([\w.-]+):(?!//)/*(?![^/]*@)(.+)", value):
        user, host, path = found.groups()
        if rsa_only(host):
            return rsa_message(host), RSA_REMEDY
        port = re.match(r"(\d{1,5})/", path)
        separator = ":" if port and 0 < int(port[1]) < 65536 else "/"
        return "Flux does not support Git's short SSH form", f"Write ssh://{user or 'git'}@{host}{separator}{path}."
    if re.fullmatch(r"[\w-]+(\.[\w-]+)+/[^\s:]+", value):
        return f"{value!r} has no scheme", f"Write https://{value}, or ssh://git@{value} for a private repository."
    return None


def pasted_page(url: str) -> str | None:
    """What to write instead of the URL of a page that shows a repository in a browser; None for other URLs."""
    parts = urlsplit(url)
    host, path = parts.netloc.rpartition("@")[2].removeprefix("www."), parts.path.strip("/")
    if parts.scheme not in ("https", "http"):
        return None
    if host == "raw.githubusercontent.com":
        host, path = GITHUB, re.sub(r"^([^/]+/[^/]+)/", r"\1/raw/", path)
    if found := re.fullmatch(r"(projects|users)/([^/]+)/repos/([^/]+)(/.*)?", path):
        owner = found[2] if found[1] == "projects" else f"~{found[2]}"
        return f"Write https://{host}/scm/{owner}/{found[3]}."
    if host == GITHUB and path.count("/") == 0:
        return f"Write https://{GITHUB}/OWNER/NAME."
    found = re.fullmatch(r"(.+?)/-/(.*)", path) or re.fullmatch(r"([^/]+/[^/]+)/(src/(?:branch|tag|commit)/.+)", path)
    if not found and (host in (GITHUB, "bitbucket.org") or re.match(r"[^/]+/[^/]+/(tree|blob)/.", path)):
        found = re.fullmatch(r"([^/]+/[^/]+)/(.+)", path)
    return f"Write https://{host}/{found[1]}{_revision(found[2])}." if found else None


def _revision(page: str) -> str:
    """The keys of a source for what a page shows: " with branch: main and path: ./deploy"; empty if unknown."""
    kinds = "src/branch|src/tag|src/commit|releases/tag|tree|blob|raw|edit|blame|src|tags|commits?"
    found = re.fullmatch(rf"({kinds})/([^/]+)/?(.*)", page.replace("refs/heads/", ""))
    if not found:
        return ""
    kind, name, folder = found.groups()
    if kind in ("blob", "raw", "edit", "blame"):
        folder = folder.rpartition("/")[0]
    if re.fullmatch("[0-9a-f]{40}", name):
        revision = f'commit: "{name}"'
    else:
        revision = f"{'tag' if 'tag' in kind else 'branch'}: {name}"
    return f" with {revision} and path: ./{folder}" if folder else f" with {revision}"


VERSION = (
    r"v?([0-9|xX*]+)(\.[0-9|xX*]+)?(\.[0-9|xX*]+)?(-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
OPERATOR = r"(?:=||!=|>|<|>=|=>|<=|=<|~|~>|\^)"
# Possessive, so that a long text that is not a range is refused at once.
SPACE = r"[\t\n\f\r ]"
CONSTRAINT = re.compile(f"{OPERATOR}{SPACE}*+{VERSION}")
CONSTRAINTS = re.compile(
    f"{SPACE}*+{CONSTRAINT.pattern}(?:(?:{SPACE}*+,{SPACE}*+|{SPACE}++){CONSTRAINT.pattern})*{SPACE}*+"
)
RANGE = re.compile(f"{SPACE}*(?P<low>{VERSION}){SPACE}+-{SPACE}+(?P<high>{VERSION}){SPACE}*")
PRERELEASE = re.compile(r"-(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*")


def is_version_range(text: str) -> bool:
    """Whether Flux can parse a range of versions: the rules of Masterminds/semver 3.5, which it uses."""
    if len(text) > 512 or text.count("||") > 31:
        return False
    text = RANGE.sub(lambda found: f">= {found['low']}, <= {found['high']} ", text)
    return all(
        CONSTRAINTS.fullmatch(part) and all(map(_is_version, CONSTRAINT.finditer(part))) for part in text.split("||")
    )


def _is_version(constraint: re.Match[str]) -> bool:
    *numbers, prerelease = constraint.groups()
    if prerelease and not PRERELEASE.fullmatch(prerelease):
        return False
    for number in (number.removeprefix(".") for number in numbers if number):
        if number in ("x", "X", "*"):
            return True
        if not re.fullmatch("[0-9]+", number) or int(number) >= 2**64:
            return False
    return True


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
    """Whether the first field of a known_hosts line matches a host and port."""
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
