"""Take what looks like a secret out of a text, before it is kept or shown: the one place that does so.

Decides by looks alone, and rather takes a word too many. Never a licence to pass secrets on: callers leave them out,
this catches what slipped into a message or an error. Linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

GONE = "[removed]"

LONGEST = 2000  # characters of a text that are kept
SEEN = 64 << 10  # characters of a text that are looked at; the rest is dropped unread
MOST_ITEMS = 200  # of a list or a mapping
DEEPEST = 8

# Links that are a secret from end to end: who has the link has the account.
LINK = re.compile(
    r"\b(vless|vmess|trojan|ssr?|hysteria2?|hy2|tuic|anytls|juicity|snell|naive\+https|wireguard|wg|ssconf)"
    r"://[^\s\"'<>]+",
    re.IGNORECASE,
)

# No * before the word: it would be tried from every character of a long text.
WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|psk|nonce|credentials?|cookie|authorization"
    r"|(?:api|private|preshared|pre-shared|shared|access|auth|encryption|wep|wpa|host|session)[ _-]?key)"
)
VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)"
SAID = re.compile(rf"({WORD}\w{{0,20}}[\"']?\s{{0,4}}[:=]\s{{0,4}}){VALUE}", re.IGNORECASE)
AS_OPTION = re.compile(
    rf"((?:\boption|\blist|-)[ -]{{1,4}}\w{{0,20}}?{WORD}\w{{0,20}}[\"']?\s{{1,4}}){VALUE}", re.IGNORECASE
)
QUOTED = re.compile(rf"(\b{WORD}\s{{1,4}})(?:\"[^\"]*\"|'[^']*')", re.IGNORECASE)
# "the password is now x9!": only what is no plain word, so that "a password must not be here" stays readable.
IN_PROSE = re.compile(
    rf"(\b{WORD}\s{{1,4}}(?:(?:is|was|to|now|from|into|of)\s{{1,4}}){{0,3}})[^\s]*[\d!$%^&*#+=][^\s]*", re.IGNORECASE
)
BARE_KEY = re.compile(r"(\bkey[\"']?\s{0,4}[:=]\s{0,4})[\"']?[^\s,;&\"']{16,}[\"']?", re.IGNORECASE)
SCHEMED = re.compile(r"\b(bearer|basic)\s+(?=\S{0,200}[\d=])[A-Za-z0-9+/=_.~-]{8,}", re.IGNORECASE)
IDENTITY = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}(?![0-9A-Za-z])")
RUN = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")

BLOCK_BEGINS, BLOCK_ENDS = "-----BEGIN ", "-----END "

SECRET_NAME = re.compile(rf"(?:^|[_.-]){WORD}$", re.IGNORECASE)
# Values of these names are digests and numbers that look like the identity of a user, and are none.
DIGESTS = ("id", "boot_id", "plan", "hash", "digest", "sha256", "anchor")
PLAIN_DIGEST = re.compile(r"[0-9a-f-]{1,64}")


def redact(text: str, longest: int = LONGEST) -> str:
    """The text on one line, without what looks like a secret, and not longer than asked."""
    if len(text) > SEEN:
        text = text[:SEEN].rpartition(" ")[0]  # half a key is not recognised any more
    text = _without_blocks(text)
    text = "".join([c if c.isprintable() else " " for c in text])
    text = LINK.sub(lambda found: f"{found[1]}://{GONE}", text)
    text = _without_users(text)
    text = SCHEMED.sub(rf"\1 {GONE}", text)
    for pattern in (AS_OPTION, SAID, QUOTED, IN_PROSE, BARE_KEY):
        text = pattern.sub(rf"\1{GONE}", text)
    text = IDENTITY.sub(GONE, text)
    text = RUN.sub(_key_or_word, text)
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest} more characters)"


def redacted(value: object, name: str = "", depth: int = 0) -> object:
    """The same for all texts within; only what JSON has comes out. `name` is what the value is called."""
    if isinstance(value, str):
        if SECRET_NAME.search(name) and value:
            return GONE
        is_digest = (name in DIGESTS or name.endswith(("_sha256", "_hash", "_digest"))) and PLAIN_DIGEST.fullmatch(
            value
        )
        return value if is_digest else redact(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has no infinity
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:MOST_ITEMS]
        found: dict[str, object] = {redact(str(key), 64): redacted(one, str(key), depth + 1) for key, one in pairs}
        return {**found, "…": len(value) - MOST_ITEMS} if len(value) > MOST_ITEMS else found
    if isinstance(value, list | tuple):
        items = [redacted(one, name, depth + 1) for one in value[:MOST_ITEMS]]
        return [*items, f"… ({len(value) - MOST_ITEMS} more)"] if len(value) > MOST_ITEMS else items
    return f"<{type(value).__name__}>"  # its text might hold anything


def _without_blocks(text: str) -> str:
    """Without keys and certificates in their armour, also where the end is missing."""
    parts = text.split(BLOCK_BEGINS)
    kept = [parts[0]]
    for part in parts[1:]:
        _, ends, rest = part.partition(BLOCK_ENDS)
        kept.append(GONE + (rest.partition("-----")[2].lstrip("-") if ends else ""))
    return "".join(kept)


def _without_users(text: str) -> str:
    # By words: an expression that finds the @ in each would try it from every character.
    return " ".join([_without_user(word) if "@" in word else word for word in text.split(" ")])


def _without_user(word: str) -> str:
    """user:password@host, with a scheme or without one; ssh://user@host has nothing to hide."""
    scheme, mark, rest = word.rpartition("://") if "://" in word else ("", "", word)
    user, _, host = rest.rpartition("@")
    if user.endswith(GONE):
        return word
    opening = len(user) - len(user.lstrip("\"'([{<"))
    is_plain = "/" in user and ":" not in user  # https://host/@name
    if ":" in user or (mark and not scheme.lower().endswith("ssh") and not is_plain):
        return f"{scheme}{mark}{user[:opening]}{GONE}@{host}"
    return word


def _key_or_word(found: re.Match[str]) -> str:
    """A key in base64 has letters of both cases and digits; a path has more slashes, a digest one case."""
    run = found[0]
    letters = run.rstrip("=")
    mixed = letters != letters.lower() and letters != letters.upper() and any(c.isdigit() for c in letters)
    is_path = letters.count("/") * 16 > len(letters)
    return GONE if mixed and not is_path else run
