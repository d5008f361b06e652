"""Prints the worked examples of docs/decision-format.md, from two tokens of tests/vectors/decisions.json.

It takes the tokens apart with the standard library alone, and verifies them with the client before it prints anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
from typing import Any

import bigpicture_client as bp

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "tests" / "vectors" / "decisions.json"
PUBLIC = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _block(title: str, text: str) -> str:
    return f"{title}\n\n```text\n{text}\n```\n"


def _token(what: str, token: str) -> list[str]:
    """Segment by segment: JSON, base64url, and the signature in hex."""
    parts = token.split(".")
    blocks = []
    for name, part in zip(("header", "payload"), parts):
        data = _bytes(part)
        blocks.append(_block(f"The {what}'s {name}, {len(data)} bytes:", data.decode("utf-8")))
        blocks.append(_block(f"and in base64url, {len(part)} characters:", part))
    signed = token.rpartition(".")[0]
    digest = hashlib.sha256(signed.encode("ascii")).hexdigest()
    blocks.append(
        f"The signing input is the two with a full stop between them, {len(signed)} bytes of ASCII. Its SHA-256, to compare "
        f"with yours:\n\n```text\n{digest}\n```\n"
    )
    raw = _bytes(parts[2])
    blocks.append(
        _block(f"The {what}'s signature, {len(raw)} bytes, as two lines of 32:", f"{raw[:32].hex()}\n{raw[32:].hex()}")
    )
    blocks.append(_block(f"and in base64url, {len(parts[2])} characters:", parts[2]))
    return blocks


def _key(what: str, jwk: dict[str, Any]) -> list[str]:
    """A public key and how its thumbprint comes about."""
    text = json.dumps({name: jwk[name] for name in PUBLIC[jwk["kty"]]}, separators=(",", ":"))
    digest = hashlib.sha256(text.encode("ascii")).digest()
    kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
    shown = "\n".join(f"{name} = {_bytes(jwk[name]).hex()}" for name in ("x", "y") if name in jwk)
    return [
        _block(f"{what} as JWK:", json.dumps({name: jwk[name] for name in (*PUBLIC[jwk["kty"]], "alg")})),
        _block("Its coordinates, 32 bytes each:" if "y" in jwk else "Its 32 bytes:", shown),
        _block(f"What the thumbprint is taken of, {len(text)} bytes:", text),
        _block("SHA-256 of that, and the same 32 bytes in base64url, which is the `kid`:", f"{digest.hex()}\n{kid}"),
    ]


def sections(vectors: dict[str, Any]) -> dict[str, str]:
    """The two examples, as they stand in the document."""
    context = vectors["contexts"]["default"]
    expected = context["expected"]
    names = ("product_id", "installed_version", "platform", "arch", "channel", "nonce")
    question = bp.Question(issuer=expected["issuer"], **{name: expected[name] for name in names})
    keyset = bp.Keyset.parse(json.dumps(context["keyset"]).encode())
    keys = {key["kid"]: key for key in context["keyset"]["keys"]}
    tokens = {vector["name"]: vector["token"] for vector in vectors["vectors"]}
    for name in ("valid", "dlg_valid_ed_ed"):
        bp.verify(tokens[name], keyset, question, expected["now"], (3, 41))

    direct, delegated = tokens["valid"], tokens["dlg_valid_ed_ed"]
    head = json.loads(_bytes(direct.split(".")[0]))
    own = json.loads(_bytes(delegated.split(".")[0]))
    dlg = own["dlg"]
    root = json.loads(_bytes(dlg.split(".")[0]))
    local = json.loads(_bytes(dlg.split(".")[1]))["jwk"]
    return {
        "direct": "\n".join(_key("The key of the keyset", keys[head["kid"]]) + _token("token", direct)),
        "delegated": "\n".join(
            _key("The key of the keyset", keys[root["kid"]])
            + _token("delegation", dlg)
            + _key("The delegated key, out of the delegation,", local)
            + _token("token", delegated)
        ),
    }


if __name__ == "__main__":
    for title, text in sections(json.loads(VECTORS.read_text(encoding="utf-8"))).items():
        print(f"### {title}\n\n{text}")
