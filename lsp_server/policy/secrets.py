"""Recognize what is likely secret: files by their names, values by their shapes. Pure.

Sources of the shapes: the documentation of each service, and Yelp's detect-secrets. Something that
looks like a secret and is none costs one suggestion; so what is unclear counts as one.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

SECRET_FILES: Final = (
    *(".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.ppk", "*.asc", "*.gpg"),
    *(".netrc", "_netrc", ".npmrc", ".pypirc", ".htpasswd", ".pgpass", ".git-credentials"),
    *("credentials", "credentials.*", "*.tfstate", "*.tfstate.backup", "*.tfvars"),
    *("secrets.*", "*.secret", "*.secrets", "vault.yml", "vault.yaml", "kubeconfig"),
)
"""Names in small letters; templates, which hold no values, are no secrets (see below)."""

TEMPLATES: Final = (".example", ".sample", ".template", ".dist")

# What stands before the telling part is bounded, or a long text would take the square of its time.
SHAPES: Final = tuple(
    map(
        re.compile,
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY",
            r"\b(A3T[A-Z0-9]|AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b",  # Amazon
            r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}",
            r"\bglpat-[\w-]{20,}",  # GitLab
            r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
            r"\b(sk|pk|rk)_(live|test)_[A-Za-z0-9]{16,}",  # Stripe
            r"\bsk-(ant-|proj-)?[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic
            r"\bAIza[\w-]{35}",  # Google
            r"\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{30,}",
            r"\bSG\.[\w-]{20,99}\.[\w-]{20,}",  # SendGrid
            r"\beyJ[\w-]{10,999}\.eyJ[\w-]{10,999}\.[\w-]{10,}",  # a JSON web token
            # user and password in a URL
            r"\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@'\"]{1,99}:[^\s/:@'\"{}$<]{3,}@",
        ),
    )
)

ASSIGNED: Final = re.compile(
    r"(?i)(pass(word|wd|phrase)?|secret|token|api_?key|access_?key|private_?key|auth|credential)"
    r"\w{0,40}[\"']?\s{0,9}(:=|=>|[:=])\s{0,9}[\"'`](?P<value>[^\"'`\s]{8,})"
)
LONG_VALUE: Final = re.compile(r"(?P<value>[A-Za-z0-9+/_=-]{32,})")
MIN_ENTROPY: Final = 3.0
MIN_ENTROPY_ALONE: Final = 4.5
"""Bits a character: words have less than the first; what nobody names has random letters."""

MAX_CHARACTERS: Final = 8_192
"""Searched of a text: more than any completion has."""

PLACEHOLDERS: Final = re.compile(
    r"(?i)example|changeme|placeholder|your|dummy|xxx|\*\*\*|<|\$\{|\{\{"
)


def is_secret_file(uri: str) -> bool:
    """Say whether a file of this name usually holds secrets."""
    name = PurePosixPath(uri.rpartition("?")[0] or uri).name.lower()
    if name.endswith(TEMPLATES):
        return False
    return any(fnmatchcase(name, pattern) for pattern in SECRET_FILES)


LINES_AT_ONCE: Final = 100


def holds_secret(text: str) -> bool:
    """Say whether the beginning of a text holds a value that looks like a secret."""
    return next(_secrets(text[:MAX_CHARACTERS]), None) is not None


def masked(text: str) -> str:
    """Return a text with each value that looks like a secret replaced by as many asterisks."""
    for start, end in _secrets(text):
        text = text[:start] + "*" * (end - start) + text[end:]
    return text


def masked_by_lines(text: str) -> str:
    """Return a long text masked, some lines at a time, so that other threads go on meanwhile."""
    lines = text.splitlines(keepends=True)
    starts = range(0, len(lines), LINES_AT_ONCE)
    return "".join(masked("".join(lines[start : start + LINES_AT_ONCE])) for start in starts)


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    for shape in SHAPES:
        yield from (match.span() for match in shape.finditer(text))
    for pattern, lowest in ((ASSIGNED, MIN_ENTROPY), (LONG_VALUE, MIN_ENTROPY_ALONE)):
        for match in pattern.finditer(text):
            value = match["value"]
            if entropy(value) >= lowest and not PLACEHOLDERS.search(value):
                yield match.span("value")


def entropy(value: str) -> float:
    """Return Shannon's entropy of a text's characters, in bits a character."""
    counts = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts)
