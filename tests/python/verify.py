"""Verifies decisions with PyJWT: reads {"jwks", "tokens"} from a file and prints one line a token."""

import json
import sys

import jwt

ALGORITHMS = ["ES256", "EdDSA"]


def signing_key(header, keys):
    """The key of the JWKS that a decision names, or the one that such a key has delegated to."""
    if "dlg" not in header:
        return keys[header["kid"]]
    above = jwt.get_unverified_header(header["dlg"])
    assert set(above) == {"alg", "kid", "typ"} and above["typ"] == "signing-delegation+jws", above
    delegation = jwt.decode(header["dlg"], keys[above["kid"]], algorithms=ALGORITHMS, options={"require": ["exp", "nbf"]})
    assert delegation["scope"] == "update-decision" and delegation["exp"] - delegation["nbf"] <= 3600, delegation
    assert delegation["jwk"]["alg"] == header["alg"], delegation
    return jwt.PyJWK(delegation["jwk"])


question = json.load(open(sys.argv[1], encoding="utf-8"))
keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(question["jwks"]).keys}
for token in question["tokens"]:
    try:
        header = jwt.get_unverified_header(token)
        assert header["typ"] == "update-decision+jws", header
        key = signing_key(header, keys)
        payload = jwt.decode(token, key, algorithms=ALGORITHMS, options={"require": ["exp", "iat"]})
        print(payload["action"])
    except jwt.InvalidSignatureError:
        print("refused")
