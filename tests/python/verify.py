"""Verifies decisions with PyJWT: reads {"jwks", "tokens"} from a file and prints one line a token."""

import json
import sys

import jwt

question = json.load(open(sys.argv[1], encoding="utf-8"))
keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(question["jwks"]).keys}
for token in question["tokens"]:
    try:
        header = jwt.get_unverified_header(token)
        assert header["typ"] == "update-decision+jws", header
        payload = jwt.decode(token, keys[header["kid"]], algorithms=["ES256", "EdDSA"], options={"require": ["exp", "iat"]})
        print(payload["action"])
    except jwt.InvalidSignatureError:
        print("refused")
