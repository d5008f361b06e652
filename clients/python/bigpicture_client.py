"""A client of Big Picture in one file: asks for an update decision, verifies it, remembers it, downloads what it names.

Needs Python 3.9 or later and the package `cryptography`. It trusts one thing, the keyset that came with the program:
not the server, not the network, not the place where the bytes lie. The steps of `verify` are numbered as in
docs/decision-format.md, the rules of `SignedKeyset` as in docs/keys.md. It never installs anything. A plain keyset
(`Keyset.parse`) is never replaced; from a signed one it walks to the newest, as far as the root keys have signed.

    keyset = SignedKeyset.pin(open("1.keyset", "rb").read())
    question = Question(issuer="https://updates.example.com", product_id="editor", installed_version="1.4.0",
                        platform="linux", arch="x86_64")
    client = Client(keyset, question, state_folder="/var/lib/editor/updates")
    decision = client.check()
    if decision.action in ("DOWNLOAD", "INSTALL"):
        path = client.download(decision, "/var/cache/editor")
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import datetime
import email.utils
import hashlib
import http.client
import ipaddress
import json
import os
import random
import re
import secrets
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any, Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

MAX_TOKEN_BYTES = 65_536
MAX_HEADER_BYTES = 4_096
MAX_DEPTH = 8
MAX_INTEGER = 2**53 - 1
SKEW_SECONDS = 300
MAX_DECISION_SECONDS = 86_400
MAX_DELEGATION_SECONDS = 3_600
MAX_ANSWER_BYTES = 262_144
MAX_REDIRECTS = 5
PATIENCE_SECONDS = 60
NONCE_BYTES = 16
MAX_KEYSET_BYTES = 1_048_576
MAX_KEYSET_STEPS = 1_000
MAX_ROOT_KEYS = 32
MAX_VERSION_CHARACTERS = 64
MAX_KEYSET_SIGNATURES = 32
DEFAULT_MAX_ARTIFACT_BYTES = 5 * 2**30
DECISION_TYPE = "update-decision+jws"
DELEGATION_TYPE = "signing-delegation+jws"
SIGNED_KEYSET_TYPE = "signed-keyset+jws"
# The members of a decision, of what it holds, and of a delegation: the type, and whether they have to be there.
CLAIMS: dict[str, tuple[type, bool]] = {
    "v": (int, True),
    "iss": (str, True),
    "jti": (str, True),
    "iat": (int, True),
    "exp": (int, True),
    "nonce": (str, False),
    "product_id": (str, True),
    "channel": (str, True),
    "platform": (str, True),
    "arch": (str, True),
    "from_version": (str, True),
    "tenant_id": (str, False),
    "epoch": (int, True),
    "seq": (int, True),
    "action": (str, True),
    "reason": (str, True),
    "release": (dict, False),
    "artifact": (dict, False),
    "crit_claims": (list, False),
}
RELEASE: dict[str, tuple[type, bool]] = {
    "release_id": (str, True),
    "version": (str, True),
    "channel": (str, False),
    "floor": (str, False),
    "allow_downgrade": (bool, False),
    "critical": (bool, False),
    "notes_url": (str, False),
}
ARTIFACT: dict[str, tuple[type, bool]] = {
    "artifact_id": (str, True),
    "sha256": (str, True),
    "size_bytes": (int, True),
    "url": (str, True),
    "installer_type": (str, True),
    "requires_admin": (bool, False),
    "file_name": (str, False),
    "access": (str, False),
    "verification": (str, False),
}
DELEGATION: dict[str, tuple[type, bool]] = {
    "v": (int, True),
    "iss": (str, True),
    "scope": (str, True),
    "jwk": (dict, True),
    "nbf": (int, True),
    "exp": (int, True),
    "crit_claims": (list, False),
}
P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_PRIME = 2**255 - 19
# The y coordinates of the eight points of small order: under such a key one signature fits every message.
ED25519_SMALL_ORDER = frozenset(
    (
        0,
        1,
        ED25519_PRIME - 1,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    )
)


# --- Errors: what happened, then what to do ---------------------------------------------------------------------------


class BigPictureError(Exception):
    """Everything that this module raises. The message says what happened and, after the semicolon, what to do."""

    advice = "report it to the publisher of the program"

    def __init__(self, what: str, advice: str | None = None) -> None:
        self.what = what
        super().__init__(f"{what}; {advice or self.advice}")


class ConfigurationError(BigPictureError):
    """The keyset or an argument cannot be used."""

    advice = "correct it and start again"


class StateError(BigPictureError):
    """What was accepted before cannot be read or written. It is never taken for "nothing was accepted"."""

    advice = "make the state folder readable and writable; delete a damaged file only if you know why it is damaged"


class TransportError(BigPictureError):
    """No answer came: not "no update"."""

    advice = "check the network and try again later"


class TryLaterError(TransportError):
    """The server is busy, after `retry_after` seconds it may be asked again."""

    def __init__(self, what: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(what, f"try again in {retry_after} seconds")


class AnswerError(BigPictureError):
    """An answer came that is no decision: not "no update"."""

    advice = "try again later, and report it to whoever runs the server if it stays"


class KeysetError(BigPictureError):
    """A signed keyset is not to be believed. `rule` is the number of the one that it breaks."""

    advice = "nothing was changed; try again later, and report it to the publisher of the program if it stays"

    def __init__(self, rule: int, what: str) -> None:
        self.rule = rule
        super().__init__(f"the signed keyset is refused: {what}")


class VerifyError(BigPictureError):
    """The token is not to be believed. `step` is the number of the check that failed; `renew` says that a newer keyset
    may help."""

    advice = "nothing was installed or remembered; ask again, and report it to the publisher if it stays"
    renew = False

    def __init__(self, step: int, what: str, advice: str | None = None, renew: bool = False) -> None:
        self.step, self.renew = step, renew or self.renew
        super().__init__(what, advice)


class FormatError(VerifyError):
    """Steps 1 to 3, 6 and 12: the token is not of the format."""


class UnknownKeyError(VerifyError):
    """Step 4: the keyset has no such key."""

    advice = "the keyset may be older than the server's keys: get the newer keyset from the publisher"
    renew = True


class DelegationError(VerifyError):
    """Step 4: the delegation does not allow this signature."""


class SignatureError(VerifyError):
    """Steps 4 and 5: the signature is not the key's."""


class UnusableKeyError(VerifyError):
    """Step 7: the key may not sign this."""

    advice = "get the newest keyset from the publisher, and report it if it stays"


class ClockError(VerifyError):
    """Steps 4, 7 and 9: the signed times and this machine's clock do not agree."""

    advice = "set this machine's clock, then ask again; if the clock is right, report it to the publisher"


class KeysetExpiredError(ClockError):
    """Step 7: by this machine's clock the keyset is over."""

    advice = "set this machine's clock if it is wrong; if it is right, get the newest keyset from the publisher"
    renew = True


class QuestionError(VerifyError):
    """Steps 8 and 10: an answer to another question, or to somebody else."""


class OlderAnswerError(VerifyError):
    """Step 11: older than what was accepted before, or of an epoch before the keyset's."""

    advice = "a server may be behind: ask again later, and report it to the publisher if it stays"


class EpochError(VerifyError):
    """Step 11: the decision belongs to a later epoch than the keyset."""

    advice = "get the newest keyset from the publisher"
    renew = True


class OfferError(VerifyError):
    """Steps 12 and 13: signed, but not to be installed here."""


class DownloadError(BigPictureError):
    """The bytes could not be had. Nothing is under the final name that was not there before."""

    advice = "try again later: what has arrived is kept and the download goes on from there"


class WrongBytesError(DownloadError):
    """Other bytes than those that were signed. They were thrown away."""

    advice = "ask for a new decision and try again; if it stays, the place of download is broken or hostile: report it"


# --- Small strict readers ---------------------------------------------------------------------------------------------


def encode_base64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: Any) -> bytes:
    """The bytes that `text` spells in the one allowed way, or ValueError."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", text) or len(text) % 4 == 1:
        raise ValueError("is not base64url without padding")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(data) != text:
        raise ValueError("is base64url with stray bits at the end")
    return data


def strict_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`, or ValueError: one spelling, no duplicates, no floats, shallow."""
    text = data.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark")
    _refuse_depth(text)
    value = json.loads(
        text,
        object_pairs_hook=_without_duplicates,
        parse_int=_safe_integer,
        parse_float=_refuse_number,
        parse_constant=_refuse_number,
    )
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses half of a surrogate pair, written as \ud800
    return value


def _refuse_depth(text: str) -> None:
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"is nested deeper than {MAX_DEPTH}")
        elif character in "]}":
            depth -= 1


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("has a member twice")
    return value


def _safe_integer(text: str) -> int:
    if text == "-0" or len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise ValueError(f"has the number `{text[:20]}`, which is no integer within 2^53-1")
    return int(text)


def _refuse_number(text: str) -> None:
    raise ValueError(f"has the number `{text[:20]}`, which is no integer")


def _is_integer(value: Any) -> bool:
    return type(value) is int  # True and False are integers to isinstance


def _check_members(value: dict[str, Any], members: dict[str, tuple[type, bool]], within: str = "") -> None:
    """ValueError unless each known member that is there has its type, and those that have to be there are."""
    for name, (kind, required) in members.items():
        if (required or name in value) and type(value.get(name)) is not kind:
            raise ValueError(f"`{within}{name}` is missing or of the wrong type")
        if kind is list and not all(isinstance(item, str) for item in value.get(name, [])):
            raise ValueError(f"`{within}{name}` is no list of names")


def _not_understood(value: dict[str, Any], members: dict[str, tuple[type, bool]]) -> str | None:
    """The first critical claim that is none of `members`."""
    return next((name for name in value.get("crit_claims", []) if name not in members), None)


def _when(seconds: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} seconds after 1970"


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of SemVer 2 of at most 64 characters, whose numbers are at most 2^53-1."""

    numbers: tuple[int, int, int]
    pre: tuple[str, ...]

    _FORM = re.compile(
        r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
        r"(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
        r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    )

    @staticmethod
    def parse(text: Any) -> Version:
        """The version in `text`, or ValueError."""
        short = isinstance(text, str) and len(text) <= MAX_VERSION_CHARACTERS
        found = Version._FORM.fullmatch(text) if short else None
        if not found:
            raise ValueError(f"`{str(text)[:64]}` is no version of SemVer 2")
        pre = tuple(found.group(4).split(".")) if found.group(4) else ()
        numbers = (int(found.group(1)), int(found.group(2)), int(found.group(3)))
        if max((*numbers, *(int(part) for part in pre if part.isdigit()))) > MAX_INTEGER:
            raise ValueError(f"`{text[:64]}` has a number above 2^53-1")
        return Version(numbers, pre)

    def order(self) -> tuple[Any, ...]:
        """What versions are compared by: build metadata does not count, a pre-release is below its release."""
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre)
        return (self.numbers, not self.pre, parts)


def check_url(url: Any, allow_loopback_http: bool) -> str:
    """`url` if bytes may be fetched from there, or ValueError."""
    if not isinstance(url, str) or not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise ValueError("the URL has characters that no URL has")
    parts = urllib.parse.urlsplit(url)
    if "@" in parts.netloc or not parts.hostname:
        raise ValueError(f"the URL `{url[:200]}` has user information or no host")
    parts.port  # noqa: B018 (raises ValueError for a port that is none)
    if parts.scheme == "https" or (parts.scheme == "http" and allow_loopback_http and _is_loopback(parts.hostname)):
        return url
    raise ValueError(f"the URL `{url[:200]}` is not https")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- Keys -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PublicKey:
    """A public key with the one algorithm that it is for."""

    alg: str
    thumbprint: str
    key: Any = dataclasses.field(repr=False)

    @staticmethod
    def parse(jwk: Any, weak: bool = False) -> PublicKey:
        """The key in a JWK, or ValueError. Private members are refused; `alg` must be that of the key's kind. A key of
        small order is refused, too, or with `weak` taken for one that verifies nothing."""
        if not isinstance(jwk, dict):
            raise ValueError("the JWK is no object")
        if set(jwk) & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}:
            raise ValueError("the JWK has private members")
        kind = (jwk.get("kty"), jwk.get("crv"), jwk.get("alg"))
        if kind == ("EC", "P-256", "ES256"):
            x, y = (int.from_bytes(_coordinate(jwk, name), "big") for name in ("x", "y"))
            if max(x, y) >= P256_PRIME:
                raise ValueError("the P-256 key has a second spelling")
            numbers = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())  # refuses what is not on the curve
            return PublicKey("ES256", _thumbprint(jwk, "crv", "kty", "x", "y"), numbers.public_key())
        if kind == ("OKP", "Ed25519", "EdDSA"):
            if "y" in jwk:
                raise ValueError("an Ed25519 key has no `y`")
            x = _coordinate(jwk, "x")
            height = int.from_bytes(x, "little") & (2**255 - 1)
            if height < ED25519_PRIME and height not in ED25519_SMALL_ORDER:
                key = ed25519.Ed25519PublicKey.from_public_bytes(x)
            elif weak:
                key = None
            else:
                raise ValueError("the Ed25519 key is of small order or has a second spelling")
            return PublicKey("EdDSA", _thumbprint(jwk, "crv", "kty", "x"), key)
        raise ValueError("the JWK is neither P-256 for ES256 nor Ed25519 for EdDSA")

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's for `message`."""
        if len(signature) != 64 or self.key is None:
            return False
        try:
            if self.alg == "EdDSA":
                self.key.verify(signature, message)
                return True
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            if not (0 < r < P256_ORDER and 0 < s < P256_ORDER):
                return False
            self.key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
            return True
        except InvalidSignature:
            return False


def _coordinate(jwk: dict[str, Any], name: str) -> bytes:
    data = decode_base64url(jwk.get(name))
    if len(data) != 32:
        raise ValueError(f"`{name}` of the JWK is not 32 bytes long")
    return data


def _thumbprint(jwk: dict[str, Any], *members: str) -> str:
    text = json.dumps({name: jwk[name] for name in sorted(members)}, separators=(",", ":"))
    return encode_base64url(hashlib.sha256(text.encode("ascii")).digest())


@dataclasses.dataclass(frozen=True)
class KeysetKey:
    """A key of the keyset, with what it may be used for."""

    public: PublicKey
    nbf: int
    exp: int
    products: tuple[str, ...]
    revoked: bool


@dataclasses.dataclass(frozen=True)
class Keyset:
    """What decisions are verified with. By itself it comes with the program, never from the network."""

    version: int
    epoch: int
    expires: int
    nonces: bool
    keys: dict[str, KeysetKey]

    @staticmethod
    def parse(data: bytes) -> Keyset:
        """The keyset in `data`, or ConfigurationError."""
        try:
            return _keyset(strict_object(data))
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"the keyset cannot be used: {error}") from error


def _keyset(value: dict[str, Any]) -> Keyset:
    if value.get("v") is True or value.get("v") != 1 or not isinstance(value.get("keys"), list):
        raise ValueError("it is no keyset of format 1")
    if not all(_is_integer(value.get(name)) for name in ("version", "epoch", "expires")):
        raise ValueError("`version`, `epoch` and `expires` must be integers")
    if value["version"] < 1 or value["epoch"] < 1:
        raise ValueError("`version` and `epoch` begin at 1")
    if not isinstance(value.get("nonces", False), bool):
        raise ValueError("`nonces` must be true or false")
    keys: dict[str, KeysetKey] = {}
    for jwk in value["keys"]:
        key = _keyset_key(jwk)
        if key.public.thumbprint in keys:
            raise ValueError(f"it has the key `{key.public.thumbprint}` twice")
        keys[key.public.thumbprint] = key
    return Keyset(value["version"], value["epoch"], value["expires"], value.get("nonces", False), keys)


def _keyset_key(jwk: Any) -> KeysetKey:
    public = PublicKey.parse(jwk)
    if jwk.get("kid") != public.thumbprint:
        raise ValueError(f"the key `{public.thumbprint}` has another `kid`")
    if jwk.get("use") != "sig" or not _is_integer(jwk.get("nbf")) or not _is_integer(jwk.get("exp")):
        raise ValueError(f"the key `{public.thumbprint}` is not for signing, or has no `nbf` and `exp`")
    products, revoked = jwk.get("products"), jwk.get("revoked")
    if not isinstance(products, list) or not all(isinstance(product, str) for product in products):
        raise ValueError(f"the key `{public.thumbprint}` has no list of products")
    if not isinstance(revoked, bool):
        raise ValueError(f"`revoked` of the key `{public.thumbprint}` must be true or false")
    return KeysetKey(public, jwk["nbf"], jwk["exp"], tuple(products), revoked)


# --- Signed keysets ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Root:
    """The root keys by thumbprint, and how many of them have to sign."""

    threshold: int
    keys: dict[str, PublicKey]

    def require(self, rule: int, whose: str, file: SignedKeyset) -> None:
        """KeysetError unless a threshold of these keys has signed `file`, and none of them wrongly."""
        good = 0
        for kid, (signed, signature) in file.signatures.items():
            key = self.keys.get(kid)
            if key is not None and not key.signed(signed, signature):
                raise KeysetError(rule, f"the signature that names the root key `{kid}` is not that key's")
            good += key is not None
        if good < self.threshold:
            raise KeysetError(rule, f"{good} root keys of {whose} have signed it, and {self.threshold} have to")


@dataclasses.dataclass(frozen=True)
class SignedKeyset:
    """A file `N.keyset`: a keyset, the root keys, and what they have signed."""

    issuer: str
    keyset: Keyset
    root: Root
    signatures: dict[str, tuple[bytes, bytes]] = dataclasses.field(repr=False)
    data: bytes = dataclasses.field(repr=False)

    @property
    def version(self) -> int:
        """Which edition this is: the `N` of its name."""
        return self.keyset.version

    @staticmethod
    def pin(data: bytes) -> SignedKeyset:
        """The signed keyset that the program ships with, or ConfigurationError. It may be over: see `walk`."""
        try:
            return SignedKeyset._own(data)
        except KeysetError as error:
            raise ConfigurationError(error.what) from error

    @staticmethod
    def _own(data: bytes) -> SignedKeyset:
        file = SignedKeyset._parse(data)
        file.root.require(3, "its own", file)
        return file

    @staticmethod
    def _parse(data: bytes) -> SignedKeyset:
        try:
            if len(data) > MAX_KEYSET_BYTES:
                raise ValueError(f"it is longer than {MAX_KEYSET_BYTES} bytes")
            outer = strict_object(data)
            if set(outer) != {"payload", "signatures"} or not isinstance(outer["signatures"], list):
                raise ValueError("it has not exactly the members `payload` and `signatures`")
            if len(outer["signatures"]) > MAX_KEYSET_SIGNATURES:
                raise ValueError(f"it has more than {MAX_KEYSET_SIGNATURES} signatures")
            value = strict_object(decode_base64url(outer["payload"]))
            signatures: dict[str, tuple[bytes, bytes]] = {}
            for entry in outer["signatures"]:
                kid, signature = _keyset_signature(entry)
                if kid in signatures:
                    raise ValueError(f"it has two signatures by the key `{kid[:64]}`")
                signatures[kid] = (f"{entry['protected']}.{outer['payload']}".encode("ascii"), signature)
            if not isinstance(value.get("iss"), str):
                raise ValueError("`iss` is no text")
            return SignedKeyset(value["iss"], _keyset(value), _root(value.get("root")), signatures, data)
        except (ValueError, TypeError) as error:
            raise KeysetError(1, str(error)) from error

    def next(self, data: bytes) -> SignedKeyset:
        """The next version, if `data` is that and has been signed as it must be, or KeysetError."""
        file = SignedKeyset._parse(data)  # rule 1
        self.root.require(2, "the version before it", file)
        file.root.require(3, "its own", file)
        if file.issuer != self.issuer:
            raise KeysetError(4, f"it is for `{file.issuer[:200]}` and not for `{self.issuer}`")
        if file.version != self.version + 1:
            raise KeysetError(5, f"it is version {file.version}, and version {self.version + 1} has to follow")
        if file.keyset.epoch < self.keyset.epoch:
            raise KeysetError(6, f"its epoch {file.keyset.epoch} is lower than {self.keyset.epoch}")
        return file


def _keyset_signature(entry: Any) -> tuple[str, bytes]:
    if not isinstance(entry, dict) or set(entry) != {"protected", "signature"}:
        raise ValueError("a signature has not exactly the members `protected` and `signature`")
    header = strict_object(decode_base64url(entry["protected"]))
    if set(header) != {"alg", "kid", "typ"} or (header["alg"], header["typ"]) != ("EdDSA", SIGNED_KEYSET_TYPE):
        raise ValueError("the header of a signature is not that of a signed keyset")
    if not isinstance(header["kid"], str):
        raise ValueError("the `kid` of a signature is no text")
    signature = decode_base64url(entry["signature"])
    if len(signature) != 64:
        raise ValueError("a signature is not 64 bytes long")
    return header["kid"], signature


def _root(value: Any) -> Root:
    if not isinstance(value, dict) or not isinstance(value.get("keys"), list):
        raise ValueError("it has no `root` with `keys`")
    if not 1 <= len(value["keys"]) <= MAX_ROOT_KEYS:
        raise ValueError(f"the root has not from 1 to {MAX_ROOT_KEYS} keys")
    keys: dict[str, PublicKey] = {}
    for jwk in value["keys"]:
        if not isinstance(jwk, dict) or set(jwk) != {"crv", "kty", "x", "alg"}:
            raise ValueError("a root key has not exactly the members `crv`, `kty`, `x` and `alg`")
        key = PublicKey.parse(jwk, weak=True)
        if key.alg != "EdDSA" or key.thumbprint in keys:
            raise ValueError(f"the root has the key `{key.thumbprint}` twice, or not for Ed25519")
        keys[key.thumbprint] = key
    threshold = value.get("threshold")
    if not _is_integer(threshold) or not 1 <= threshold <= len(keys):
        raise ValueError("`threshold` of the root is not from 1 to the number of its keys")
    return Root(threshold, keys)


def walk(trusted: SignedKeyset, fetch: Callable[[int], bytes | None], now: int) -> SignedKeyset:
    """The newest version that can be reached. `fetch` has the file of a version, or None. Pure but for that: a failure
    leaves `trusted` what it was."""
    for _ in range(MAX_KEYSET_STEPS):
        data = fetch(trusted.version + 1)
        if data is None:
            break
        trusted = trusted.next(data)
    _check_expiry(trusted.keyset, now)
    return trusted


def _check_expiry(keyset: Keyset, now: int) -> None:
    if keyset.expires <= now:
        ended = f"the keyset (version {keyset.version}) expired at {_when(keyset.expires)}"
        raise KeysetExpiredError(7, f"{ended}, and this machine's clock says {_when(now)}")


def read_keyset(data: bytes) -> Keyset | SignedKeyset:
    """The plain or the signed keyset in `data`, whichever it is, or ConfigurationError."""
    try:
        signed = "signatures" in strict_object(data)
    except ValueError as error:
        raise ConfigurationError(f"the keyset cannot be used: it {error}") from error
    return SignedKeyset.pin(data) if signed else Keyset.parse(data)


# --- Question and decision --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Question:
    """What the client asks, and within which limits it takes an answer."""

    issuer: str
    product_id: str
    installed_version: str
    platform: str
    arch: str
    channel: str = "stable"
    tenant_id: str | None = None
    nonce: str | None = None
    installer_types: tuple[str, ...] = ()
    max_artifact_bytes: int = DEFAULT_MAX_ARTIFACT_BYTES
    allow_loopback_http: bool = False

    @property
    def scope(self) -> tuple[str, str, str | None]:
        """What `epoch` and `seq` are remembered for."""
        return (self.issuer, self.product_id, self.tenant_id)


@dataclasses.dataclass(frozen=True)
class Decision:
    """A decision that passed every check of `verify`. Nothing else makes one."""

    payload: dict[str, Any]
    token: str = dataclasses.field(repr=False)

    @property
    def action(self) -> str:
        """`NONE`, `NOTIFY`, `DOWNLOAD` or `INSTALL`."""
        return self.payload["action"]

    @property
    def revision(self) -> tuple[int, int]:
        """`(epoch, seq)`."""
        return (self.payload["epoch"], self.payload["seq"])

    @property
    def release(self) -> dict[str, Any] | None:
        """The release, unless the action is `NONE`."""
        return self.payload.get("release")

    @property
    def artifact(self) -> dict[str, Any] | None:
        """The artifact, unless the action is `NONE`."""
        return self.payload.get("artifact")


def verify(token: str, keyset: Keyset, question: Question, now: int, stored: tuple[int, int] | None = None) -> Decision:
    """The decision in `token`, or VerifyError. Pure: `now` is the time, `stored` the pair that was accepted last."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN_BYTES:  # step 1; more bytes than that fail step 2
        raise FormatError(1, f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    header_bytes, payload_bytes, signature, signed = _segments(2, "token", token)  # step 2
    header = _header(header_bytes)  # step 3
    delegation = None
    if "dlg" in header:  # step 4
        key, signer, delegation = _delegated_signer(header, keyset, question, now)
    else:
        key = _named_key(keyset, header, "decision")
        signer = key.public
    if not signer.signed(signed, signature):  # step 5
        raise SignatureError(5, "the signature of the decision is not its key's")
    payload = _payload(payload_bytes)  # step 6
    _check_key(keyset, key, question, now)  # step 7
    _check_question(payload, question)  # step 8
    _check_times(payload, delegation, now)  # step 9
    _check_nonce(payload, question)  # step 10
    _check_revision(payload, keyset, stored)  # step 11
    _check_shape(payload)  # step 12
    if payload["action"] != "NONE":
        _check_version(payload["release"], question)
        _check_artifact(payload["artifact"], question)  # step 13
    return Decision(payload, token)


def _segments(step: int, what: str, token: str) -> tuple[bytes, bytes, bytes, bytes]:
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise FormatError(step, f"the {what} has not three segments" if token else f"the {what} is empty")
    try:
        header, payload, signature = (decode_base64url(part) for part in parts)
    except ValueError as error:
        raise FormatError(step, f"a segment of the {what} {error}") from error
    return header, payload, signature, token.rpartition(".")[0].encode("ascii")


def _object(step: int, what: str, data: bytes) -> dict[str, Any]:
    try:
        return strict_object(data)
    except ValueError as error:
        raise FormatError(step, f"the {what} cannot be read: it {error}") from error


def _header(data: bytes) -> dict[str, str]:
    if len(data) > MAX_HEADER_BYTES:
        raise FormatError(3, f"the header is longer than {MAX_HEADER_BYTES} bytes")
    header = _object(3, "header", data)
    members = {"alg", "kid", "typ", "dlg"} if "dlg" in header else {"alg", "kid", "typ"}
    _check_header(3, header, members, DECISION_TYPE, "header")
    return header


def _check_header(step: int, header: dict[str, Any], members: set, kind: str, what: str) -> None:
    if set(header) != members or not all(isinstance(value, str) for value in header.values()):
        raise FormatError(step, f"the {what} has not exactly the members {', '.join(sorted(members))}")
    if header["typ"] != kind:
        raise FormatError(step, f"the type of the {what} is not `{kind}`")


def _named_key(keyset: Keyset, header: dict[str, str], what: str) -> KeysetKey:
    key = keyset.keys.get(header["kid"])
    if key is None:
        raise UnknownKeyError(4, f"the {what} is signed by the key `{header['kid'][:64]}`, which the keyset has not")
    if key.public.alg != header["alg"]:
        raise SignatureError(4, f"the {what} names another algorithm than its key has")
    return key


def _delegated_signer(
    header: dict[str, str], keyset: Keyset, question: Question, now: int
) -> tuple[KeysetKey, PublicKey, dict[str, Any]]:
    header_bytes, payload_bytes, signature, signed = _segments(4, "delegation", header["dlg"])
    if len(header_bytes) > MAX_HEADER_BYTES:
        raise FormatError(4, f"the delegation's header is longer than {MAX_HEADER_BYTES} bytes")
    own = _object(4, "delegation's header", header_bytes)
    _check_header(4, own, {"alg", "kid", "typ"}, DELEGATION_TYPE, "delegation's header")
    key = _named_key(keyset, own, "delegation")
    if not key.public.signed(signed, signature):
        raise SignatureError(4, "the signature of the delegation is not its key's")
    delegation = _object(4, "delegation", payload_bytes)
    _check_grant(delegation, question)
    _check_delegation_window(delegation, now)
    try:
        if not set(delegation["jwk"]) <= {"kty", "crv", "x", "y", "alg"}:
            raise ValueError("the JWK has other members than a public key and `alg`")
        signer = PublicKey.parse(delegation["jwk"])
    except (ValueError, TypeError) as error:
        raise DelegationError(4, f"the delegated key cannot be used: {error}") from error
    if signer.alg != header["alg"] or signer.thumbprint != header["kid"]:
        raise DelegationError(4, "the delegated key is not the one that signed the decision")
    return key, signer, delegation


def _check_grant(delegation: dict[str, Any], question: Question) -> None:
    try:
        _check_members(delegation, DELEGATION)
    except ValueError as error:
        raise DelegationError(4, f"the delegation cannot be used: {error}") from error
    if delegation["v"] != 1:
        raise DelegationError(4, "the delegation is not of format 1", "update this client")
    if delegation["iss"] != question.issuer or delegation["scope"] != "update-decision":
        raise DelegationError(4, "the delegation is for another deployment or another purpose")
    unknown = _not_understood(delegation, DELEGATION)
    if unknown is not None:
        raise DelegationError(4, f"the delegation needs `{unknown[:64]}` to be understood", "update this client")


def _check_delegation_window(delegation: dict[str, Any], now: int) -> None:
    nbf, exp = delegation["nbf"], delegation["exp"]
    if not 0 < exp - nbf <= MAX_DELEGATION_SECONDS:
        raise DelegationError(4, f"the delegation does not last from 1 to {MAX_DELEGATION_SECONDS} seconds")
    if nbf > now + SKEW_SECONDS:
        raise ClockError(4, f"the delegation begins at {_when(nbf)}, and this machine's clock says {_when(now)}")
    if exp <= now:
        raise ClockError(4, f"the delegation ended at {_when(exp)}, and this machine's clock says {_when(now)}")


def _payload(data: bytes) -> dict[str, Any]:
    payload = _object(6, "payload", data)
    if not _is_integer(payload.get("v")) or payload["v"] != 1:
        raise FormatError(6, "the decision is not of format 1", "update this client")
    try:
        _check_members(payload, {"crit_claims": CLAIMS["crit_claims"]})
        unknown = _not_understood(payload, CLAIMS)
        if unknown is not None:
            raise FormatError(6, f"the decision needs `{unknown[:64]}` to be understood", "update this client")
        _check_members(payload, CLAIMS)
        for name, members in (("release", RELEASE), ("artifact", ARTIFACT)):
            _check_members(payload.get(name, {}), members if name in payload else {}, f"{name}.")
    except ValueError as error:
        raise FormatError(6, str(error)) from error
    return payload


def _check_key(keyset: Keyset, key: KeysetKey, question: Question, now: int) -> None:
    kid, clock = key.public.thumbprint, f"this machine's clock says {_when(now)}"
    _check_expiry(keyset, now)
    if key.revoked:
        raise UnusableKeyError(7, f"the key `{kid}` is revoked")
    if now < key.nbf:
        raise ClockError(7, f"the key `{kid}` may be used from {_when(key.nbf)} on, and {clock}")
    if now >= key.exp:
        raise ClockError(7, f"the key `{kid}` could be used until {_when(key.exp)}, and {clock}", renew=True)
    if "*" not in key.products and question.product_id not in key.products:
        raise UnusableKeyError(7, f"the key `{kid}` may not sign for the product `{question.product_id}`")


def _check_question(payload: dict[str, Any], question: Question) -> None:
    asked = {
        "iss": question.issuer,
        "product_id": question.product_id,
        "channel": question.channel,
        "platform": question.platform,
        "arch": question.arch,
        "from_version": question.installed_version,
    }
    if question.tenant_id is not None:
        asked["tenant_id"] = question.tenant_id
    elif "tenant_id" in payload:
        raise QuestionError(8, "the decision is for a tenant, and none was asked for")
    for name, value in asked.items():
        if payload.get(name) != value:
            raise QuestionError(8, f"`{name}` of the decision is not `{value}`, which was asked for")


def _check_times(payload: dict[str, Any], delegation: dict[str, Any] | None, now: int) -> None:
    iat, exp = payload["iat"], payload["exp"]
    if iat > now + SKEW_SECONDS:
        raise ClockError(9, f"the decision was issued at {_when(iat)}, and this machine's clock says {_when(now)}")
    if exp <= now:
        raise ClockError(9, f"the decision ended at {_when(exp)}, and this machine's clock says {_when(now)}")
    if not 0 < exp - iat <= MAX_DECISION_SECONDS:
        raise FormatError(9, f"the decision does not last from 1 to {MAX_DECISION_SECONDS} seconds")
    if delegation is not None and not delegation["nbf"] <= iat < delegation["exp"]:
        raise DelegationError(9, "the decision was not issued while its delegation lasted")


def _check_nonce(payload: dict[str, Any], question: Question) -> None:
    if question.nonce is None and "nonce" in payload:
        raise QuestionError(10, "the decision has a nonce, and none was sent: it is an answer to somebody else")
    if question.nonce is not None and payload.get("nonce") != question.nonce:
        raise QuestionError(10, "the decision has not the nonce of this question: it is an answer to another one")


def _check_revision(payload: dict[str, Any], keyset: Keyset, stored: tuple[int, int] | None) -> None:
    epoch, seq = payload["epoch"], payload["seq"]
    if epoch < 1 or seq < 1:
        raise FormatError(11, "`epoch` or `seq` is below 1")
    if epoch != keyset.epoch:
        what = f"the decision is of epoch {epoch} and the keyset of epoch {keyset.epoch}"
        raise EpochError(11, what) if epoch > keyset.epoch else OlderAnswerError(11, what)
    if stored is not None and (epoch, seq) < tuple(stored):
        raise OlderAnswerError(11, f"the decision is number {epoch}.{seq}, and {stored[0]}.{stored[1]} was accepted")


def _check_shape(payload: dict[str, Any]) -> None:
    action = payload["action"]
    if action not in ("NONE", "NOTIFY", "DOWNLOAD", "INSTALL"):
        raise FormatError(12, f"`{action[:64]}` is no action that this client knows", "update this client")
    for name in ("release", "artifact"):
        if (name in payload) != (action != "NONE"):
            raise FormatError(12, f"the decision says `{action}`, and its `{name}` does not go with that")


def _check_version(release: dict[str, Any], question: Question) -> None:
    try:
        offered = Version.parse(release["version"]).order()
        installed = Version.parse(question.installed_version).order()
        floor = Version.parse(release["floor"]).order() if "floor" in release else None
    except ValueError as error:
        raise OfferError(12, str(error)) from error
    if offered == installed:
        raise OfferError(12, f"the decision offers `{release['version']}`, which is installed")
    if offered < installed and release.get("allow_downgrade") is not True:
        raise OfferError(12, f"the decision offers `{release['version']}`, which is older than what is installed")
    if floor is not None and offered < floor:
        raise OfferError(12, f"the decision offers `{release['version']}`, which is below `{release['floor']}`")


def _check_artifact(artifact: dict[str, Any], question: Question) -> None:
    if question.installer_types and artifact["installer_type"] not in question.installer_types:
        raise OfferError(13, f"an installer of the type `{artifact['installer_type'][:64]}` was not asked for")
    if not 1 <= artifact["size_bytes"] <= question.max_artifact_bytes:
        raise OfferError(13, f"the artifact's size {artifact['size_bytes']} is not within the client's limit")
    if not re.fullmatch(r"[0-9a-f]{64}", artifact["sha256"]):
        raise OfferError(13, "`sha256` is not 64 lower-case hexadecimal digits")
    if artifact.get("verification", "DECLARED") != "DECLARED":
        raise OfferError(13, "`verification` is a word that this client does not know", "update this client")
    try:
        check_url(artifact["url"], question.allow_loopback_http)
    except ValueError as error:
        raise OfferError(13, str(error)) from error


# --- State ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """One process at a time in `folder`. The lock ends with the process, the file stays."""
    descriptor = os.open(os.path.join(folder, ".bigpicture.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class State:
    """The highest `(epoch, seq)` that was accepted for each (issuer, product, tenant), a file each; and the newest
    signed keyset of each issuer, as it was received."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def _path(self, scope: tuple[str, str, str | None]) -> str:
        name = hashlib.sha256(json.dumps(scope).encode("ascii")).hexdigest()
        return os.path.join(self.folder, f"{name}.json")

    def read(self, scope: tuple[str, str, str | None]) -> tuple[int, int] | None:
        """The pair that was stored, or None if none ever was."""
        path = self._path(scope)
        try:
            with open(path, "rb") as file:
                value = strict_object(file.read(65_536))
            if value.get("scope") != list(scope) or not all(_is_integer(value.get(name)) for name in ("epoch", "seq")):
                raise ValueError("is no state of this client")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StateError(f"the state in `{path}` cannot be read: {error}") from error
        return (value["epoch"], value["seq"])

    def store(self, scope: tuple[str, str, str | None], revision: tuple[int, int]) -> None:
        """Stores `revision` in one step, or raises and leaves what was there. Never lowers it."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            with _locked(self.folder):
                stored = self.read(scope)
                if stored is not None and revision < stored:
                    raise OlderAnswerError(11, f"meanwhile {stored[0]}.{stored[1]} was accepted by another process")
                if revision != stored:
                    text = json.dumps({"scope": scope, "epoch": revision[0], "seq": revision[1]})
                    self._write(self._path(scope), text.encode("ascii"))
        except OSError as error:
            raise StateError(f"the state cannot be written to `{self.folder}`: {error}") from error

    def _keyset_path(self, issuer: str) -> str:
        name = hashlib.sha256(json.dumps(["keyset", issuer]).encode("ascii")).hexdigest()
        return os.path.join(self.folder, f"{name}.keyset")

    def read_keyset(self, issuer: str) -> SignedKeyset | None:
        """The signed keyset that was reached, or None if none ever was."""
        path = self._keyset_path(issuer)
        try:
            with open(path, "rb") as file:
                signed = SignedKeyset._own(file.read(MAX_KEYSET_BYTES + 1))
            if signed.issuer != issuer:
                raise KeysetError(4, "it is another issuer's")
            return signed
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"the keyset in `{path}` cannot be read: {error.strerror}") from error
        except KeysetError as error:
            advice = "delete the file if you know why it is damaged: the client begins again with the one it came with"
            raise StateError(f"the keyset in `{path}` cannot be used: {error.what}", advice) from error

    def store_keyset(self, signed: SignedKeyset) -> SignedKeyset:
        """What is stored afterwards: `signed`, or what another process has reached meanwhile. Never an older one."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            with _locked(self.folder):
                stored = self.read_keyset(signed.issuer)
                if stored is not None and stored.version >= signed.version:
                    return stored
                self._write(self._keyset_path(signed.issuer), signed.data)
                return signed
        except OSError as error:
            raise StateError(f"the keyset cannot be written to `{self.folder}`: {error}") from error

    def _write(self, path: str, data: bytes) -> None:
        descriptor, aside = tempfile.mkstemp(dir=self.folder, prefix=".state-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            raise
        _sync_folder(self.folder)


# --- Network ----------------------------------------------------------------------------------------------------------


class _Connections:
    """The sockets of one request, so that all of it, head included, can be cut off when its time is over."""

    def __init__(self) -> None:
        self.late = threading.Event()
        self.sockets: list[socket.socket] = []

    def kind(self, base: type) -> type:
        """`base`, a connection of http.client, that reports its socket here."""
        connections = self

        class Watched(base):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                super().connect()
                connections.sockets.append(self.sock)
                if connections.late.is_set():
                    connections.cut()

        return Watched

    def cut(self) -> None:
        """Ends every read that still waits."""
        self.late.set()
        for sock in list(self.sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not the TLS one: another thread is reading there


class _HttpHandler(urllib.request.HTTPHandler):
    def __init__(self, connections: _Connections) -> None:
        super().__init__()
        self.kind = connections.kind(http.client.HTTPConnection)

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self.kind, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, connections: _Connections, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self.kind, self.tls = connections.kind(http.client.HTTPSConnection), context

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self.kind, req, context=self.tls)


class Http:
    """HTTP with limits: https alone (or loopback, if switched on), redirects checked one by one, time bounded."""

    def __init__(self, allow_loopback_http: bool, timeout: float, ca_file: str | None = None) -> None:
        self.allow_loopback_http = allow_loopback_http
        self.timeout = timeout
        self.tls = ssl.create_default_context(cafile=ca_file)

    @contextlib.contextmanager
    def request(
        self,
        url: str,
        seconds: float,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        secret: str | None = None,
        redirects: int = 0,
    ) -> Iterator[Any]:
        """The response, whatever its status, to be read within `seconds` in all. `secret` follows no redirect."""
        connections = _Connections()
        timer = threading.Timer(max(seconds, 0), connections.cut)
        timer.daemon = True
        timer.start()
        try:
            with self._follow(connections, url, body, headers or {}, secret, redirects) as response:
                yield response
                if connections.late.is_set():  # a cut connection can look like one that has ended
                    raise TransportError(f"`{_host(url)}` took longer than {seconds:.0f} seconds")
        except (OSError, http.client.HTTPException) as error:
            if connections.late.is_set():
                raise TransportError(f"`{_host(url)}` took longer than {seconds:.0f} seconds") from error
            raise _transport_error(url, error) from error
        finally:
            timer.cancel()

    def _follow(
        self,
        connections: _Connections,
        url: str,
        body: bytes | None,
        headers: dict[str, str],
        secret: str | None,
        redirects: int,
    ) -> Any:
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            _HttpHandler(connections),
            _HttpsHandler(connections, self.tls),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        for _ in range(redirects + 1):
            try:
                request = urllib.request.Request(check_url(url, self.allow_loopback_http), body, headers)
            except ValueError as error:
                raise AnswerError(str(error)) from error
            if secret is not None:
                request.add_header("Authorization", f"Bearer {secret}")
            try:
                return opener.open(request, timeout=self.timeout)
            except urllib.error.HTTPError as answer:  # every status but 2xx
                target = answer.headers.get("Location")
                if redirects == 0 or answer.code not in (301, 302, 303, 307, 308) or not target:
                    return answer
                answer.close()  # its body may be endless
                with contextlib.suppress(ValueError):  # what is no URL is refused by check_url
                    target = urllib.parse.urljoin(url, target)
                url, secret = target, None
        raise AnswerError(f"`{_host(url)}` redirects more than {redirects} times")


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc[:100]


def _transport_error(url: str, error: Exception) -> BigPictureError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError) and reason.verify_code in (9, 10):  # not yet, no longer valid
        clock = _when(int(time.time()))
        return TransportError(
            f"the certificate of `{_host(url)}` is not valid at {clock}, which is what this machine's clock says",
            "set this machine's clock if it is wrong, else report it to whoever runs the server",
        )
    return TransportError(f"`{_host(url)}` cannot be reached: {str(reason) or type(reason).__name__}")


def _retry_after(headers: Any) -> int:
    """For how many seconds to leave a busy server alone: half a minute and a little chance where it says nothing."""
    text = headers.get("Retry-After") or ""
    return min(int(text), 86_400) if re.fullmatch(r"[0-9]{1,9}", text) else random.randint(30, 40)


# --- The client -------------------------------------------------------------------------------------------------------


class Client:
    """Asks one question of one server, as often as its caller likes."""

    def __init__(
        self,
        keyset: Keyset | SignedKeyset,
        question: Question,
        state_folder: str,
        *,
        server: str | None = None,
        client_id: str | None = None,
        api_token: str | None = None,
        always_nonce: bool = False,
        timeout: float = 30,
        ask_seconds: float = 60,
        download_seconds: float = 3_600,
        attempts: int = 5,
        ca_file: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.question, self.state = question, State(state_folder)
        self.server = (server or question.issuer).rstrip("/")
        self.client_id, self.api_token = client_id, api_token
        self.always_nonce = always_nonce
        self.ask_seconds, self.download_seconds, self.attempts = ask_seconds, download_seconds, max(attempts, 1)
        self.clock, self.sleep = clock, sleep
        try:
            self.http = Http(question.allow_loopback_http, timeout, ca_file)
            if api_token is not None and not re.fullmatch(r"[!-~]+", api_token):
                raise ValueError("the API token has characters that no token has")
            check_url(self.server, question.allow_loopback_http)
            Version.parse(question.installed_version)
        except (ValueError, OSError) as error:
            raise ConfigurationError(str(error)) from error
        self.signed = keyset if isinstance(keyset, SignedKeyset) else None
        if self.signed is not None and self.signed.issuer != question.issuer:
            raise ConfigurationError(f"the signed keyset is for `{self.signed.issuer[:200]}`, not `{question.issuer}`")
        self.signed = self._newest()
        self.keyset: Keyset = keyset if isinstance(keyset, Keyset) else self.signed.keyset

    def check(self) -> Decision:
        """The verified decision, remembered. Asks again, twice at most, if a server is behind what was accepted; and
        once, if a newer keyset has been signed since."""
        older, renewed = 0, False
        while True:
            try:
                return self._check_once()
            except OlderAnswerError:
                if older == 2:
                    raise
                older += 1
                self.sleep(30)
            except VerifyError as error:
                if renewed or not error.renew or not self._renewed(error):
                    raise
                renewed = True

    def refresh_keyset(self) -> bool:
        """Whether a newer signed keyset was found and stored; never with a plain one. A failure changes nothing."""
        newest = self._newest()
        if newest is None:
            return False
        before, end = self.keyset, time.monotonic() + self.download_seconds
        reached = walk(newest, lambda version: self._fetch_keyset(version, end), int(self.clock()))
        if reached.version > before.version:
            reached = self.state.store_keyset(reached)
        self.signed, self.keyset = reached, reached.keyset
        return reached.version > before.version

    def _newest(self) -> SignedKeyset | None:
        if self.signed is None:
            return None
        stored = self.state.read_keyset(self.signed.issuer)
        return stored if stored is not None and stored.version > self.signed.version else self.signed

    def _renewed(self, error: VerifyError) -> bool:
        try:
            return self.refresh_keyset()
        except (TransportError, AnswerError, ClockError) as trouble:
            if isinstance(error, ClockError):  # a wrong clock is likelier, and it may be what keeps the file away
                raise error from trouble
            raise

    def _fetch_keyset(self, version: int, end: float) -> bytes | None:
        url, seconds = f"{self.server}/v1/keyset/{version}.keyset", min(self.ask_seconds, end - time.monotonic())
        with self.http.request(url, seconds) as response:
            data = response.read(MAX_KEYSET_BYTES + 1)
            status, headers = response.status, response.headers
        if status == 404:
            return None
        if status in (429, 503):
            raise TryLaterError(f"the server is busy (status {status})", _retry_after(headers))
        if status != 200:
            raise AnswerError(f"the server answered with status {status} when asked for a newer keyset")
        return data

    def _check_once(self) -> Decision:
        question = self.question
        if self.always_nonce or self.keyset.nonces:
            question = dataclasses.replace(question, nonce=secrets.token_urlsafe(NONCE_BYTES))
        token, date = self._ask(question)
        now = int(self.clock())  # step 1
        try:
            decision = verify(token, self.keyset, question, now, self.state.read(question.scope))
        except ClockError as error:
            if date is not None and abs(date - now) > SKEW_SECONDS:
                direction = "behind" if date > now else "ahead of"
                hint = f"{error.what}; it is {abs(date - now)} seconds {direction} the server's, {_when(date)}"
                raise type(error)(error.step, hint, renew=error.renew) from error
            raise
        self.state.store(question.scope, decision.revision)  # step 14
        return decision

    def _ask(self, question: Question) -> tuple[str, int | None]:
        """The token of the answer, and the server's clock if it tells."""
        row: dict[str, Any] = {
            "product_id": question.product_id,
            "current_version": question.installed_version,
            "channel": question.channel,
            "platform": question.platform,
            "arch": question.arch,
        }
        if question.tenant_id is not None:
            row["tenant_id"] = question.tenant_id
        if question.installer_types:
            row["installer_types"] = list(question.installer_types)
        body: dict[str, Any] = {"products": [row]}
        if self.client_id is not None:
            body["client_id"] = self.client_id
        if question.nonce is not None:
            body["nonce"] = question.nonce
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        with self.http.request(
            f"{self.server}/v1/decision", self.ask_seconds, json.dumps(body).encode(), headers, self.api_token
        ) as response:
            data = response.read(MAX_ANSWER_BYTES + 1)
            status, answer_headers = response.status, response.headers
        if status in (429, 503):
            raise TryLaterError(f"the server is busy (status {status})", _retry_after(answer_headers))
        if status != 200:
            advice = {400: "correct the question", 401: "check the API token", 403: "check the API token"}
            advice[422] = advice[400]
            raise AnswerError(f"the server answered with status {status}{_envelope(data)}", advice.get(status))
        return _token(data), _date(answer_headers)

    def download(self, decision: Decision, folder: str) -> str:
        """The path of the artifact in `folder`: it is there only with the size and SHA-256 that were signed."""
        artifact = decision.artifact
        if artifact is None:
            raise DownloadError(f"the decision says `{decision.action}`", "there is nothing to download")
        access = artifact.get("access", "public")
        if access not in ("public", "token") or (access == "token" and self.api_token is None):
            advice = "give an API token" if access == "token" else "fetch it with your own credentials for its host"
            raise DownloadError(f"access to the artifact is `{access[:64]}`", advice)
        try:
            os.makedirs(folder, exist_ok=True)
            with _locked(folder):
                return self._download(artifact, folder)
        except OSError as error:
            raise DownloadError(f"cannot write to `{folder}`: {error}", "make room or another folder") from error

    def _download(self, artifact: dict[str, Any], folder: str) -> str:
        final = os.path.join(folder, _file_name(artifact))
        part = os.path.join(folder, f".{artifact['sha256']}.part")
        with contextlib.suppress(OSError, WrongBytesError):
            with _open(final, os.O_RDONLY) as file:
                _prove(file, artifact)
            return final
        end = time.monotonic() + self.download_seconds
        while True:
            with _open(part, os.O_RDWR | os.O_CREAT) as file:
                resumed = file.seek(0, os.SEEK_END) > 0
                try:
                    self._fill(file, artifact, end)
                    _prove(file, artifact)
                    os.fsync(file.fileno())
                    proved = os.fstat(file.fileno())
                    break
                except WrongBytesError:
                    file.truncate(0)
                    if not resumed:  # else what was there before may have been at fault: once more from the beginning
                        raise
        os.replace(part, final)
        _sync_folder(folder)
        there = os.stat(final, follow_symlinks=False)
        if (there.st_ino, there.st_size, there.st_mtime_ns) != (proved.st_ino, proved.st_size, proved.st_mtime_ns):
            os.unlink(final)
            raise WrongBytesError("another program changed the file while it was verified")
        return final

    def _fill(self, file: Any, artifact: dict[str, Any], end: float) -> None:
        """Makes `file` as long as was signed, going on where it ends."""
        size, trouble, pause = artifact["size_bytes"], "", 0.0
        for attempt in range(self.attempts):
            have = file.seek(0, os.SEEK_END)
            if have == size:
                return
            if have > size:
                have = file.seek(file.truncate(0))
            if shutil.disk_usage(os.path.dirname(os.path.abspath(file.name))).free < size - have:
                raise DownloadError(f"the download needs {size - have} bytes of free space", "make room and try again")
            if attempt:
                self.sleep(min(pause, max(end - time.monotonic(), 0)))
            if time.monotonic() >= end:
                break
            pause = random.uniform(0, 2 ** (attempt + 1))
            try:
                self._fetch(file, have, artifact, end)
            except TryLaterError as error:
                pause = error.retry_after
                if pause > min(PATIENCE_SECONDS, end - time.monotonic()):
                    raise
                trouble = f": {error.what}"
            except TransportError as error:
                trouble = f": {error.what}"
            file.flush()
        if file.seek(0, os.SEEK_END) != size:
            raise DownloadError(f"the download was cut off at {file.tell()} of {size} bytes{trouble}")

    def _fetch(self, file: Any, have: int, artifact: dict[str, Any], end: float) -> None:
        size, url = artifact["size_bytes"], artifact["url"]
        headers = {"Range": f"bytes={have}-"} if have else {}
        own = _origin(url) == _origin(self.server)  # the API token is for the service alone
        secret = self.api_token if own and artifact.get("access") == "token" else None
        seconds = end - time.monotonic()
        with self.http.request(url, seconds, None, headers, secret, MAX_REDIRECTS) as response:
            status = response.status
            if status == 416 or (
                status == 206 and response.headers.get("Content-Range") != f"bytes {have}-{size - 1}/{size}"
            ):
                file.truncate(0)  # what is kept does not fit what is there: the next attempt begins anew
                return
            if status in (429, 503):
                raise TryLaterError(f"`{_host(url)}` is busy (status {status})", _retry_after(response.headers))
            if status in (500, 502, 504):
                raise TransportError(f"`{_host(url)}` answered with status {status}")
            if status not in (200, 206) or (status == 206 and not have):
                raise DownloadError(f"`{_host(url)}` answered with status {status}", "ask for a new decision")
            if status == 200:
                file.truncate(0)
                have = file.seek(0)
            length = response.headers.get("Content-Length")
            if length is not None and length != str(size - have):
                raise WrongBytesError(f"the file to download is not {size} bytes long")
            while True:
                chunk = response.read1(min(65_536, size - have + 1))
                if not chunk:
                    return
                have += len(chunk)
                if have > size:
                    raise WrongBytesError(f"the file to download is longer than {size} bytes")
                _write(file, chunk)


def _envelope(data: bytes) -> str:
    """What an error of the service says, made harmless for a terminal."""
    try:
        value = json.loads(data)
        text = f"{value['code']}: {value['message']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return " (" + "".join(character if character.isprintable() else "?" for character in text)[:300] + ")"


def _token(data: bytes) -> str:
    if not data.strip():
        raise AnswerError("the server sent an empty answer, which is not the answer that there is no update")
    if len(data) > MAX_ANSWER_BYTES:
        raise AnswerError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    try:
        (row,) = json.loads(data)["decisions"]
        token = row["signature"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AnswerError("the answer has not one decision with a signature") from error
    if not isinstance(token, str):
        raise AnswerError("the signature of the answer is no text")
    return token


def _date(headers: Any) -> int | None:
    """The server's clock. Nobody signed it: good for a hint, never for a check."""
    try:
        return int(email.utils.parsedate_to_datetime(headers["Date"]).timestamp())
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return (parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme))


def _file_name(artifact: dict[str, Any]) -> str:
    """The signed file name if it is harmless on every system, else the digest."""
    name = artifact.get("file_name", "")
    device = re.match(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9]) *(\.|$)", name)  # of Windows, whatever follows the dot
    if re.fullmatch(r"[A-Za-z0-9_+-]([A-Za-z0-9._+ -]{0,126}[A-Za-z0-9_+-])?", name) and not device:
        return name
    kind = artifact["installer_type"]
    return artifact["sha256"] + (f".{kind}" if re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)*", kind) else "")


def _open(path: str, flags: int) -> Any:
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    mode = "rb" if flags & os.O_RDWR == 0 else "r+b"
    return open(path, mode, opener=lambda name, _: os.open(name, flags, 0o600))


def _write(file: Any, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:  # not the network's, which is tried again
        raise DownloadError(f"cannot write to `{file.name}`: {error}", "make room or name another folder") from error


def _prove(file: Any, artifact: dict[str, Any]) -> None:
    """Compares size, then SHA-256, of what is in the open `file`."""
    if os.fstat(file.fileno()).st_size != artifact["size_bytes"]:
        raise WrongBytesError(f"the file is not {artifact['size_bytes']} bytes long")
    file.seek(0)
    digest = hashlib.sha256()
    for chunk in iter(lambda: file.read(1 << 20), b""):
        digest.update(chunk)
    if digest.hexdigest() != artifact["sha256"]:
        raise WrongBytesError(f"the SHA-256 of the file is `{digest.hexdigest()}`, not the signed one")


# --- Command line -----------------------------------------------------------------------------------------------------


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ask for a signed update decision, verify it, download what it names.")
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    for name, text in (
        ("server", "base URL of the service"),
        ("keyset", "the keyset that came with the program, a file: plain, or signed by root keys (N.keyset)"),
        ("state", "folder in which accepted decisions and newer keysets are remembered"),
        ("product", "product id"),
        ("version", "installed version"),
        ("platform", "windows, macos or linux"),
        ("arch", "x86_64, x86 or arm64"),
    ):
        common.add_argument(f"--{name}", required=True, help=text)
    common.add_argument("--issuer", help="the `iss` to expect, if it is not --server")
    common.add_argument("--channel", default="stable")
    common.add_argument("--tenant")
    common.add_argument("--client-id", help="decides on rollouts; only hashed by the service")
    common.add_argument("--installer-type", action="append", default=[], help="may be given several times")
    common.add_argument("--max-bytes", type=int, default=DEFAULT_MAX_ARTIFACT_BYTES)
    common.add_argument(
        "--always-nonce", action="store_true", help="send a nonce even if the keyset does not ask for it"
    )
    common.add_argument("--token-file", help="file with an API token, for restricted channels and artifacts")
    common.add_argument("--ca-file", help="certificates to trust instead of the system's")
    common.add_argument("--allow-loopback-http", action="store_true", help="development: plain http to this machine")
    commands.add_parser("check", parents=[common], help="print the verified decision")
    download = commands.add_parser("download", parents=[common], help="and download its artifact")
    download.add_argument("--into", required=True, help="folder for the artifact")
    return parser.parse_args(arguments)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_KEYSET_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read `{path}`: {error.strerror}") from error


def _run(options: argparse.Namespace) -> dict[str, Any]:
    question = Question(
        issuer=options.issuer or options.server.rstrip("/"),
        product_id=options.product,
        installed_version=options.version,
        platform=options.platform,
        arch=options.arch,
        channel=options.channel,
        tenant_id=options.tenant,
        installer_types=tuple(options.installer_type),
        max_artifact_bytes=options.max_bytes,
        allow_loopback_http=options.allow_loopback_http,
    )
    client = Client(
        read_keyset(_read(options.keyset)),
        question,
        options.state,
        server=options.server,
        client_id=options.client_id,
        api_token=_read(options.token_file).decode("ascii", "replace").strip() if options.token_file else None,
        always_nonce=options.always_nonce,
        ca_file=options.ca_file,
    )
    decision = client.check()
    result: dict[str, Any] = {"decision": decision.payload}
    if options.command == "download" and decision.artifact is not None:
        result["path"] = client.download(decision, options.into)
    return result


def main(arguments: list[str] | None = None) -> int:
    """0: a verified answer is on standard output. 1: an error. 2: wrong usage. 3: no answer, try again later."""
    options = _arguments(arguments)
    try:
        print(json.dumps(_run(options), indent=2))
        return 0
    except BigPictureError as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        if isinstance(error, ConfigurationError):
            return 2
        return 3 if isinstance(error, TransportError) else 1


if __name__ == "__main__":
    sys.exit(main())
