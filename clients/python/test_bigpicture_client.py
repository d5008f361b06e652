"""Tests of bigpicture_client.py: `python -m unittest -v` in this folder. They need what the client needs, and no network
but 127.0.0.1. The vectors are those of tests/vectors."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email.utils
import hashlib
import http.server
import io
import json
import os
import pathlib
import random
import tempfile
import threading
import time
import unittest
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

import bigpicture_client as bp
import worked_example

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "decisions.json").read_text(encoding="utf-8"))
BOTH_CLIENTS = json.loads((ROOT / "tests" / "vectors" / "both-clients.json").read_text(encoding="utf-8"))
NOW = 1_767_225_600
DELETE = object()


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Key:
    """A key pair of the test's own that signs whatever it is given."""

    def __init__(self, alg: str = "ES256") -> None:
        self.alg = alg
        if alg == "ES256":
            self.private: Any = ec.generate_private_key(ec.SECP256R1())
            point = self.private.public_key().public_numbers()
            self.jwk = {"kty": "EC", "crv": "P-256", "x": self._spell(point.x), "y": self._spell(point.y)}
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()
            raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": encode(self.private.public_key().public_bytes(*raw))}
        text = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        self.kid = encode(hashlib.sha256(text.encode()).digest())
        self.jwk["alg"] = alg

    @staticmethod
    def _spell(number: int) -> str:
        return encode(number.to_bytes(32, "big"))

    def sign(self, message: bytes) -> bytes:
        if self.alg == "EdDSA":
            return self.private.sign(message)
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def token(self, header: Any, payload: Any) -> str:
        parts = [part if isinstance(part, bytes) else to_json(part) for part in (header, payload)]
        signed = ".".join(encode(part) for part in parts)
        return f"{signed}.{encode(self.sign(signed.encode()))}"

    def in_keyset(self, **changes: Any) -> dict[str, Any]:
        standard = {"use": "sig", "kid": self.kid, "nbf": NOW - 100, "exp": NOW + 10**6, "products": ["acme"]}
        return {**self.jwk, **standard, "revoked": False, **changes}


def changed(value: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: member for name, member in {**value, **changes}.items() if member is not DELETE}


def keyset(*keys: dict[str, Any], **changes: Any) -> bp.Keyset:
    value = {"v": 1, "version": 7, "epoch": 3, "expires": NOW + 10**7, "nonces": True, "keys": list(keys)}
    return bp.Keyset.parse(to_json(changed(value, **changes)))


def header(key: Key, **changes: Any) -> dict[str, Any]:
    return changed({"alg": key.alg, "kid": key.kid, "typ": "update-decision+jws"}, **changes)


ARTIFACT = {
    "artifact_id": "art_1",
    "sha256": hashlib.sha256(b"bytes").hexdigest(),
    "size_bytes": 5,
    "url": "https://dl.example.com/x",
    "installer_type": "deb",
}


def payload(**changes: Any) -> dict[str, Any]:
    value = {
        "v": 1,
        "iss": "https://updates.example.com",
        "jti": "dec_01hzzzzzzzzzzzzzzzzzzzzzzz",
        "iat": NOW,
        "exp": NOW + 3600,
        "nonce": "bm9uY2Utbm9uY2UtMDAwMQ",
        "product_id": "acme",
        "channel": "stable",
        "platform": "linux",
        "arch": "x86_64",
        "from_version": "1.4.0",
        "epoch": 3,
        "seq": 42,
        "action": "INSTALL",
        "reason": "NEW_RELEASE",
        "release": {"release_id": "rel_1", "version": "1.5.0", "channel": "stable"},
        "artifact": ARTIFACT,
    }
    return changed(value, **changes)


QUESTION = bp.Question(
    issuer="https://updates.example.com",
    product_id="acme",
    installed_version="1.4.0",
    platform="linux",
    arch="x86_64",
    nonce="bm9uY2Utbm9uY2UtMDAwMQ",
)
NOTHING = {"action": "NONE", "reason": "UP_TO_DATE", "release": DELETE, "artifact": DELETE}


class Verifying(unittest.TestCase):
    """What all tests of `verify` share."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.es, cls.ed, cls.stranger = Key("ES256"), Key("EdDSA"), Key("ES256")
        cls.trusted = keyset(cls.es.in_keyset(), cls.ed.in_keyset())

    def verify(self, token: str, **context: Any) -> bp.Decision:
        question = dataclasses.replace(QUESTION, **context.pop("question", {}))
        trusted, now = context.pop("trusted", self.trusted), context.pop("now", NOW)
        return bp.verify(token, trusted, question, now, context.pop("stored", None))

    def signed(self, value: Any = None, **changes: Any) -> str:
        return self.es.token(header(self.es), payload(**changes) if value is None else value)

    def refused(self, step: int, kind: type, token: str, **context: Any) -> bp.VerifyError:
        with self.assertRaises(bp.VerifyError) as caught:
            self.verify(token, **context)
        error = caught.exception
        self.assertEqual((error.step, type(error)), (step, kind), str(error))
        self.assertRegex(str(error), r".; .", "the message says what to do")
        return error


class Vectors(unittest.TestCase):
    def test_every_vector_has_the_verdict_that_it_demands(self) -> None:
        self.assertGreaterEqual(len(VECTORS["vectors"]), 53)
        for vector in VECTORS["vectors"]:
            with self.subTest(vector["id"], name=vector["name"]):
                context = VECTORS["contexts"][vector.get("context", "default")]
                expected = context["expected"]
                question = bp.Question(
                    issuer=expected["issuer"],
                    nonce=expected["nonce"],
                    allow_loopback_http=expected.get("allow_loopback_http", False),
                    **{name: expected[name] for name in ("product_id", "installed_version", "platform", "arch")},
                    **{name: expected[name] for name in ("channel", "tenant_id", "max_artifact_bytes")},
                )
                stored = (expected["stored"]["epoch"], expected["stored"]["seq"])
                pinned = bp.Keyset.parse(to_json(context["keyset"]))
                try:
                    bp.verify(vector["token"], pinned, question, expected["now"], stored)
                    verdict = "accept"
                except bp.VerifyError:
                    verdict = "reject"
                self.assertEqual(verdict, vector["expect"], vector["why"])

    def test_the_contexts_that_no_vector_uses_hold_too(self) -> None:
        valid = next(vector["token"] for vector in VECTORS["vectors"] if vector["name"] == "valid")
        for name, step in (("keyset_expired", 7), ("tenant", 8), ("no_nonce", 10)):
            with self.subTest(name):
                context = VECTORS["contexts"][name]
                expected = context["expected"]
                question = dataclasses.replace(
                    QUESTION, platform="windows", nonce=expected["nonce"], tenant_id=expected["tenant_id"]
                )
                with self.assertRaises(bp.VerifyError) as caught:
                    bp.verify(valid, bp.Keyset.parse(to_json(context["keyset"])), question, expected["now"])
                self.assertEqual(caught.exception.step, step)


class BothClients(Verifying):
    """The rules that this client and the Rust crate read alike: the table is theirs together."""

    expected = BOTH_CLIENTS["expected"]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.local = {alg: Key(alg) for alg in ("ES256", "EdDSA")}

    def verdict(self, token: str) -> bp.Decision:
        names = ("issuer", "product_id", "installed_version", "platform", "arch", "channel", "tenant_id", "nonce")
        question = bp.Question(**{name: self.expected[name] for name in (*names, "max_artifact_bytes")})
        stored = (self.expected["stored"]["epoch"], self.expected["stored"]["seq"])
        return bp.verify(token, self.trusted, question, self.expected["now"], stored)

    def delegated(self, local: Key, root: Key, value: Any, **changes: Any) -> str:
        grant = changed({**BOTH_CLIENTS["delegation"], "jwk": local.jwk}, **changes)
        dlg = root.token(header(root, typ="signing-delegation+jws"), grant)
        return local.token(header(local, dlg=dlg), value)

    def hold(self, case: dict[str, Any], token: str) -> None:
        refused = case.get("refused")
        if refused is None:
            self.verdict(token)
            return
        with self.assertRaises(bp.VerifyError) as caught:
            self.verdict(token)
        found = (caught.exception.step, type(caught.exception).__name__)
        self.assertEqual(found, (refused["step"], refused["error"]), str(caught.exception))

    def changes(self, what: str, base: dict[str, Any]) -> Any:
        """Each case of the table, and `base` with each of its changes."""
        for case in BOTH_CLIENTS[what]:
            values = [*case.get("values", []), *([DELETE] if case.get("absent") else [])]
            self.assertTrue(values and case["members"], case["name"])
            for member in case["members"]:
                for value in values:
                    *parents, name = member.split(".")
                    new = {**base, parents[0]: changed(base[parents[0]], **{name: value})} if parents else base
                    yield case, (member, value), new if parents else changed(base, **{name: value})

    def test_the_payload_and_the_delegation_of_the_table_are_accepted(self) -> None:
        for root in (self.es, self.ed):
            self.verdict(root.token(header(root), BOTH_CLIENTS["payload"]))
            for local in self.local.values():
                self.verdict(self.delegated(local, root, BOTH_CLIENTS["payload"]))

    def test_every_case_of_a_payload_gets_its_verdict_direct_and_delegated(self) -> None:
        for case, change, value in self.changes("payload_cases", BOTH_CLIENTS["payload"]):
            with self.subTest(case["name"], change=change):
                for root, local in ((self.es, self.local["EdDSA"]), (self.ed, self.local["ES256"])):
                    self.hold(case, root.token(header(root), value))
                    self.hold(case, self.delegated(local, root, value))

    def test_every_case_of_a_delegation_gets_its_verdict(self) -> None:
        for root in (self.es, self.ed):
            for local in self.local.values():
                base = {**BOTH_CLIENTS["delegation"], "jwk": local.jwk}
                for case, change, grant in self.changes("delegation_cases", base):
                    with self.subTest(case["name"], change=change, alg=local.alg):
                        unset = {name: DELETE for name in base if name not in grant}
                        self.hold(case, self.delegated(local, root, BOTH_CLIENTS["payload"], **unset, **grant))


class Tokens(Verifying):
    def test_both_algorithms_are_accepted(self) -> None:
        for key in (self.es, self.ed):
            decision = self.verify(key.token(header(key), payload()))
            self.assertEqual((decision.action, decision.revision), ("INSTALL", (3, 42)))

    def test_step_1_a_token_over_65536_bytes_is_refused_before_it_is_read(self) -> None:
        token = self.signed()
        self.refused(1, bp.FormatError, token + "A" * (65_537 - len(token)))
        self.refused(2, bp.FormatError, "." * 65_536)

    def test_step_2_a_token_has_one_spelling(self) -> None:
        head, body, signature = self.signed().split(".")
        last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        stray = signature[:-1] + last[last.index(signature[-1]) + 1]  # 64 bytes leave four bits unused
        for token in (
            "",
            "..",
            f"{head}.{body}",
            f"{head}.{body}.",
            f".{body}.{signature}",
            f"{head}.{body}.{signature}.",
            f"{head}.{body}.{signature}.{signature}",
            f"{head}.{body}.{signature}==",
            f"{head}.{body}.{signature}\n",
            f" {head}.{body}.{signature}",
            f"{head}.{body[:8]} {body[8:]}.{signature}",
            f"{head}.{body}.{signature}A",
            f"{head}.{body}.{signature}AAA",
            f"{head}.{body}.{stray}",
            f"{head}.{body}.+{signature[1:]}",
            f"{head}.{body}.\uff21{signature[1:]}",
            f"{head}.{body}.\ud800{signature[1:]}",
        ):
            with self.subTest(token=ascii(token[-24:])), self.assertRaises(bp.VerifyError) as caught:
                self.verify(token)
            self.assertIn(caught.exception.step, (2, 5))

    def test_no_character_of_a_token_can_be_another(self) -> None:
        chance = random.Random(1)
        for key in (self.es, self.ed):
            token = key.token(header(key), payload())
            for place in chance.sample(range(len(token)), 300):
                other = chance.choice([letter for letter in "AZaz09-_.=" if letter != token[place]])
                with self.subTest(place=place, other=other), self.assertRaises(bp.VerifyError):
                    self.verify(token[:place] + other + token[place + 1 :])

    def test_step_3_the_header_has_exactly_its_members(self) -> None:
        for change in (
            {"typ": "JWT"},
            {"typ": DELETE},
            {"alg": DELETE},
            {"kid": DELETE},
            {"kid": None},
            {"alg": ["ES256"]},
            {"crit": ["b64"]},
            {"b64": False},
            {"jwk": self.es.jwk},
            {"jku": "https://example.com/"},
            {"pad": "x" * 4096},
        ):
            with self.subTest(change):
                self.refused(3, bp.FormatError, self.es.token(header(self.es, **change), payload()))
        for text in (b"null", b"[]", b"\xef\xbb\xbf" + to_json(header(self.es)), b"{", b'{"alg":"\xff"}', b'{"a":NaN}'):
            with self.subTest(text):
                self.refused(3, bp.FormatError, self.es.token(text, payload()))

    def test_step_4_the_key_is_named_and_the_algorithm_is_the_keys(self) -> None:
        self.refused(4, bp.UnknownKeyError, self.stranger.token(header(self.stranger), payload()))
        self.refused(4, bp.UnknownKeyError, self.es.token(header(self.es, kid=""), payload()))
        for alg in ("none", "HS256", "ES384", "EdDSA", "es256", ""):
            self.refused(4, bp.SignatureError, self.es.token(header(self.es, alg=alg), payload()))

    def test_step_5_the_signature_is_the_keys(self) -> None:
        self.refused(5, bp.SignatureError, self.stranger.token(header(self.es), payload()))
        self.refused(5, bp.SignatureError, self.ed.token(header(self.es), payload()))
        signed, _, signature = self.signed().rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        r, s, n = raw[:32], raw[32:], bp.P256_ORDER
        other = hashlib.sha256(b"other").digest()
        wrong = [bytes(64), bytes(32) + s, r + bytes(32), b"\xff" * 64, s + r, r + other, raw[:-1], raw + b"\0"]
        wrong += [number.to_bytes(32, "big") + s for number in (n - 1, n, n + 1)]
        wrong += [r + number.to_bytes(32, "big") for number in (n - 1, n, n + 1)]
        wrong += [(1).to_bytes(32, "big") * 2, n.to_bytes(32, "big") * 2, b"\0" + raw[:-1]]
        for forged in wrong:
            with self.subTest(forged.hex()):
                self.refused(5, bp.SignatureError, f"{signed}.{encode(forged)}")

    def test_step_5_both_signs_of_s_are_the_same_ecdsa_signature(self) -> None:
        signed, _, signature = self.signed().rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        mirrored = bp.P256_ORDER - int.from_bytes(raw[32:], "big")
        self.verify(f"{signed}.{encode(raw[:32] + mirrored.to_bytes(32, 'big'))}")

    def test_step_5_an_ed25519_signature_has_one_spelling(self) -> None:
        signed, _, signature = self.ed.token(header(self.ed), payload()).rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        order = 2**252 + 27742317777372353535851937790883648493
        second = int.from_bytes(raw[32:], "little") + order
        for forged in (bytes(64), b"\xff" * 64, raw[:32] + bytes(32), bytes(32) + raw[32:], raw[:63], raw + b"\0"):
            self.refused(5, bp.SignatureError, f"{signed}.{encode(forged)}")
        self.refused(5, bp.SignatureError, f"{signed}.{encode(raw[:32] + second.to_bytes(32, 'little'))}")

    def test_step_6_the_payload_is_strict_json(self) -> None:
        text = to_json(payload()).decode()
        member = '"seq":42'
        for other in (
            '"seq":42,"seq":42',
            '"seq":42,"s\\u0065q":43',
            '"seq":42.0',
            '"seq":4.2e1',
            '"seq":9007199254740992',
            '"seq":-9007199254740992',
            '"seq":' + "9" * 5000,
            '"seq":042',
            '"seq":+42',
            '"seq":-0',
            '"seq":NaN',
            '"seq":-Infinity',
            '"seq":42,"x":1e400',
            '"seq":42,"x":{"a":1,"a":1}',
            '"seq":42,"x":"\\ud800"',
            '"seq":42,"x":"\t"',
            '"seq":42,"x":"\\x41"',
            '"seq":42,"x":' + "[" * 8 + "]" * 8,
            '"seq":42,"x":' + '{"a":' * 9 + "1" + "}" * 9,
            '"seq":42,',
            '"seq":42,/**/"x":1',
            "'seq':42",
        ):
            with self.subTest(other[:60]):
                self.refused(6, bp.FormatError, self.signed(text.replace(member, other).encode()))
        for whole in (
            b"",
            b" ",
            b"null",
            b"[]",
            b'"x"',
            b"{}x",
            b"\xef\xbb\xbf" + text.encode(),
            text.encode("utf-16"),
        ):
            with self.subTest(whole[:20]), self.assertRaises(bp.FormatError) as caught:
                self.verify(self.signed(whole))
            self.assertIn(caught.exception.step, (2, 6))
        self.refused(
            6, bp.FormatError, self.signed(text.replace("acme", "a\udcffcme").encode("utf-8", "surrogateescape"))
        )
        for kept in (
            '"seq":42,"x":' + "[" * 7 + "]" * 7,
            '"seq":42,"x":"[[[[[[[[[[{{\\"[["',
            '"seq":42,"x":9007199254740991',
        ):
            self.verify(self.signed(text.replace(member, kept).encode()))

    def test_step_6_version_and_critical_claims_are_understood_or_refused(self) -> None:
        for change in (
            {"v": 2},
            {"v": True},
            {"v": "1"},
            {"v": DELETE},
            {"crit_claims": ["x"]},
            {"crit_claims": ["seq", "x"]},
            {"release": {"release_id": "rel_1", "version": "1.5.0", "crit_claims": 1}, "v": 2},
        ):
            with self.subTest(change):
                self.refused(6, bp.FormatError, self.signed(**change))
        self.verify(self.signed(release={"release_id": "rel_1", "version": "1.5.0", "crit_claims": 1}))
        self.verify(self.signed(x_new={"a": 1}))
        self.verify(self.signed(crit_claims=["seq", "tenant_id"]))
        self.verify(self.signed(crit_claims=[]))

    def test_what_is_not_signed_is_not_read(self) -> None:
        self.refused(5, bp.SignatureError, self.stranger.token(header(self.es), b"{" * 30_000))


class Answers(Verifying):
    def test_step_7_the_key_may_sign_this_now(self) -> None:
        for kind, changes in (
            (bp.UnusableKeyError, {"revoked": True}),
            (bp.UnusableKeyError, {"products": ["other"]}),
            (bp.UnusableKeyError, {"products": []}),
            (bp.UnusableKeyError, {"products": ["ACME", "acm", "acme2"]}),
            (bp.ClockError, {"nbf": NOW + 1}),
            (bp.ClockError, {"exp": NOW}),
        ):
            with self.subTest(changes):
                self.refused(7, kind, self.signed(), trusted=keyset(self.es.in_keyset(**changes)))
        self.refused(7, bp.KeysetExpiredError, self.signed(), trusted=keyset(self.es.in_keyset(), expires=NOW))
        self.verify(self.signed(), trusted=keyset(self.es.in_keyset(products=["*"], nbf=NOW, exp=NOW + 1)))
        self.verify(self.signed(), trusted=keyset(self.es.in_keyset(), expires=NOW + 1))

    def test_step_8_the_answer_is_to_the_question(self) -> None:
        for name in ("iss", "product_id", "channel", "platform", "arch", "from_version"):
            for value in ("other", ""):
                with self.subTest(name, value=value):
                    self.refused(8, bp.QuestionError, self.signed(**{name: value}))
        for value in ("ten_a", ""):
            self.refused(8, bp.QuestionError, self.signed(tenant_id=value))
        self.refused(8, bp.QuestionError, self.signed(), question={"tenant_id": "ten_a"})
        self.verify(self.signed(tenant_id="ten_a"), question={"tenant_id": "ten_a"})

    def test_step_9_the_times_fit_and_a_wrong_clock_is_called_that(self) -> None:
        for kind, iat, exp in (
            (bp.ClockError, 301, 3600),
            (bp.ClockError, -10, 0),
            (bp.ClockError, -NOW, -NOW - 1),
            (bp.FormatError, 0, 86_401),
            (bp.FormatError, 100, 100),
            (bp.FormatError, 100, 99),
        ):
            with self.subTest(iat=iat, exp=exp):
                self.refused(9, kind, self.signed(iat=NOW + iat, exp=NOW + exp))
        self.verify(self.signed(iat=NOW + 300, exp=NOW + 301))
        self.verify(self.signed(exp=NOW + 86_400))
        old = keyset(self.es.in_keyset(nbf=0, exp=2**40), expires=2**40)
        ten_years = 315_576_000
        for now in (NOW - ten_years, NOW + ten_years):
            for trusted in (self.trusted, old):
                with self.subTest(now=now), self.assertRaises(bp.ClockError) as caught:
                    self.verify(self.signed(**NOTHING), now=now, trusted=trusted)
                self.assertIn("clock", str(caught.exception))

    def test_step_10_the_nonce_that_was_sent_comes_back_and_no_other(self) -> None:
        for value in ("bm9uY2Utbm9uY2UtMDAwMg", "", DELETE):
            self.refused(10, bp.QuestionError, self.signed(nonce=value))
        for value in ("bm9uY2Utbm9uY2UtMDAwMQ", ""):
            self.refused(10, bp.QuestionError, self.signed(nonce=value), question={"nonce": None})
        self.verify(self.signed(nonce=DELETE), question={"nonce": None})

    def test_step_11_nothing_older_than_what_was_stored_is_accepted(self) -> None:
        for stored in ((3, 43), (4, 1), (3, 2**53 - 1)):
            self.refused(11, bp.OlderAnswerError, self.signed(), stored=stored)
        for stored in (None, (3, 42), (3, 41), (2, 2**53 - 1)):
            self.verify(self.signed(), stored=stored)
        self.assertTrue(self.refused(11, bp.EpochError, self.signed(epoch=4)).renew)
        self.assertFalse(self.refused(11, bp.OlderAnswerError, self.signed(epoch=2)).renew)
        for change in ({"seq": 0}, {"seq": -1}, {"epoch": 0}):
            self.refused(11, bp.FormatError, self.signed(**change))

    def test_step_12_the_action_has_its_shape(self) -> None:
        self.assertEqual(self.verify(self.signed(**NOTHING)).action, "NONE")
        for change in (
            {"action": "install"},
            {"action": ""},
            {"artifact": DELETE},
            {"release": DELETE},
            {**NOTHING, "release": payload()["release"]},
            {**NOTHING, "artifact": ARTIFACT},
            {**NOTHING, "action": "INSTALL"},
        ):
            with self.subTest(change):
                self.refused(12, bp.FormatError, self.signed(**change))
        for action in ("NOTIFY", "DOWNLOAD", "INSTALL"):
            self.assertEqual(self.verify(self.signed(action=action)).action, action)

    def test_step_12_a_release_is_newer_or_signed_as_a_downgrade_and_never_below_its_floor(self) -> None:
        def offer(version: str, **more: Any) -> str:
            return self.signed(release={"release_id": "rel_1", "version": version, **more})

        for version in ("1.4.1", "1.10.0", "2.0.0-rc.1", "1.5.0+build"):
            self.verify(offer(version))
        for version in (
            "1.4.0",
            "1.4.0+other",
            "1.3.9",
            "1.4.0-rc.1",
            "01.5.0",
            "1.5",
            "v1.5.0",
            "1.5.0 ",
            "1.5.0-",
            "",
        ):
            self.refused(12, bp.OfferError, offer(version))
        self.refused(12, bp.OfferError, offer("9007199254740992.0.0"))
        self.verify(offer("9007199254740991.0.0"))
        self.verify(offer("1.3.9", allow_downgrade=True, floor="1.3.9"))
        self.refused(12, bp.OfferError, offer("1.4.0", allow_downgrade=True))
        self.refused(12, bp.OfferError, offer("1.3.9", allow_downgrade=False))
        self.refused(12, bp.OfferError, offer("1.3.9", allow_downgrade=True, floor="1.3.10"))
        self.refused(12, bp.OfferError, offer("1.5.0", floor="1.5.1"))
        self.refused(12, bp.OfferError, offer("1.5.0", floor="x"))

    def test_versions_are_in_the_order_of_semver(self) -> None:
        order = "1.0.0-1 1.0.0-9 1.0.0-10 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"
        versions = [bp.Version.parse(text).order() for text in order.split()]
        self.assertEqual(versions, sorted(versions))
        self.assertEqual(len(set(versions)), len(versions))

    def test_step_13_the_artifact_is_what_the_client_can_take(self) -> None:
        for change in (
            {"size_bytes": 0},
            {"size_bytes": -1},
            {"size_bytes": 101},
            {"sha256": "A" * 64},
            {"sha256": "a" * 63},
            {"sha256": "a" * 64 + "\n"},
            {"installer_type": "msi"},
            {"verification": "PROVED"},
            {"url": "http://dl.example.com/x"},
            {"url": "http://127.0.0.1/x"},
            {"url": "HTTP://localhost/x"},
            {"url": "ftp://dl.example.com/x"},
            {"url": "file:///etc/passwd"},
            {"url": "https:///x"},
            {"url": "https://user@dl.example.com/x"},
            {"url": "https://@dl.example.com/x"},
            {"url": "https://dl.example.com:99999/x"},
            {"url": "https://dl.example.com\\@evil.example/x"},
            {"url": "https://dl.example.com/x y"},
            {"url": "https://dl.example.com/\r\nX: y"},
            {"url": "//dl.example.com/x"},
            {"url": ""},
        ):
            with self.subTest(change):
                question = {"installer_types": ("deb", "rpm"), "max_artifact_bytes": 100}
                token = self.signed(artifact=changed(ARTIFACT, **change))
                self.refused(13, bp.OfferError, token, question=question)
        self.verify(self.signed(artifact=changed(ARTIFACT, size_bytes=100)), question={"max_artifact_bytes": 100})

    def test_step_13_the_development_switch_covers_loopback_alone(self) -> None:
        for host, allowed in (
            ("127.0.0.1:8080", True),
            ("localhost", True),
            ("[::1]:1", True),
            ("127.9.9.9", True),
            ("127.0.0.1.example.com", False),
            ("localhost.example.com", False),
            ("10.0.0.1", False),
            ("0.0.0.0", False),
            ("user@127.0.0.1", False),
        ):
            token = self.signed(artifact=changed(ARTIFACT, url=f"http://{host}/x"))
            with self.subTest(host):
                if allowed:
                    self.verify(token, question={"allow_loopback_http": True})
                else:
                    self.refused(13, bp.OfferError, token, question={"allow_loopback_http": True})

    def test_the_first_check_that_fails_is_the_one_that_is_told(self) -> None:
        faults = [
            {"artifact": changed(ARTIFACT, size_bytes=0)},
            {"action": "x"},
            {"seq": 1},
            {"nonce": "x"},
            {"exp": NOW},
            {"arch": "arm64"},
            {"v": 2},
        ]
        value = payload()
        for step, fault in zip((13, 12, 11, 10, 9, 8, 6), faults):
            value.update(fault)
            with self.assertRaises(bp.VerifyError) as caught:
                self.verify(self.signed(value), stored=(3, 42))
            self.assertEqual(caught.exception.step, step)


class Delegations(Verifying):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.local = {alg: Key(alg) for alg in ("ES256", "EdDSA")}

    def delegation(self, local: Key, root: Key | None = None, head: Any = None, **changes: Any) -> str:
        root = root or self.es
        own = header(root, typ="signing-delegation+jws") if head is None else head
        value = {"v": 1, "iss": QUESTION.issuer, "scope": "update-decision", "jwk": local.jwk}
        return root.token(own, changed({**value, "nbf": NOW - 60, "exp": NOW + 3540}, **changes))

    def delegated(self, alg: str = "EdDSA", root: Key | None = None, **changes: Any) -> str:
        local = self.local[alg]
        return local.token(header(local, dlg=self.delegation(local, root, **changes)), payload())

    def test_every_pair_of_algorithms_is_accepted(self) -> None:
        for root in (self.es, self.ed):
            for alg in ("ES256", "EdDSA"):
                self.assertEqual(self.verify(self.delegated(alg, root)).action, "INSTALL")

    def test_a_delegation_lasts_an_hour_at_most_and_covers_now(self) -> None:
        for kind, nbf, exp in (
            (bp.DelegationError, 0, 3601),
            (bp.DelegationError, 10, 10),
            (bp.DelegationError, 200, 100),
            (bp.ClockError, 301, 3000),
            (bp.ClockError, -3600, 0),
        ):
            with self.subTest(nbf=nbf, exp=exp):
                self.refused(4, kind, self.delegated(nbf=NOW + nbf, exp=NOW + exp))
        for change in ({"nbf": DELETE}, {"exp": None}, {"nbf": str(NOW)}, {"exp": True}):
            self.refused(4, bp.DelegationError, self.delegated(**change))
        self.verify(self.delegated(nbf=NOW, exp=NOW + 3600))
        self.verify(self.delegated(nbf=NOW - 3599, exp=NOW + 1))

    def test_a_decision_is_issued_inside_its_delegation(self) -> None:
        self.refused(9, bp.DelegationError, self.delegated(nbf=NOW + 1, exp=NOW + 3600))
        local = self.local["EdDSA"]
        head = header(local, dlg=self.delegation(local, nbf=NOW - 10, exp=NOW + 10))
        self.verify(local.token(head, payload(iat=NOW - 10)))
        self.verify(local.token(head, payload(iat=NOW + 9)))
        for iat in (NOW - 11, NOW + 10):
            self.refused(9, bp.DelegationError, local.token(head, payload(iat=iat)))

    def test_a_delegation_is_for_this_deployment_and_purpose(self) -> None:
        for change in (
            {"v": 2},
            {"v": True},
            {"iss": "https://other.example.com"},
            {"iss": DELETE},
            {"scope": "update-decisions"},
            {"scope": ["update-decision"]},
        ):
            self.refused(4, bp.DelegationError, self.delegated(**change))

    def test_the_delegated_key_is_public_and_the_one_that_signed(self) -> None:
        local, other = self.local["EdDSA"], self.local["ES256"]
        for jwk in (
            {**local.jwk, "d": "AAAA"},
            {**local.jwk, "x5c": []},
            changed(local.jwk, alg=DELETE),
            changed(local.jwk, alg="ES256"),
            changed(local.jwk, x=local.jwk["x"] + "A"),
            changed(local.jwk, x=encode((1).to_bytes(32, "little"))),
            other.jwk,
            None,
            "x",
            1,
            [],
        ):
            with self.subTest(jwk):
                self.refused(4, bp.DelegationError, self.delegated(jwk=jwk))

    def test_a_delegation_is_signed_by_a_key_of_the_keyset_and_delegates_no_further(self) -> None:
        local, middle = self.local["EdDSA"], self.local["ES256"]
        self.refused(4, bp.UnknownKeyError, self.delegated(root=self.stranger))
        forged = self.stranger.token(
            header(self.es, typ="signing-delegation+jws"), {"v": 1, "iss": QUESTION.issuer, "jwk": local.jwk}
        )
        self.refused(4, bp.SignatureError, local.token(header(local, dlg=forged), payload()))
        chained = header(middle, typ="signing-delegation+jws", dlg=self.delegation(middle))
        self.refused(4, bp.FormatError, self.delegated(root=middle, head=chained))
        for head in (header(self.es), header(self.es, typ="signing-delegation+jws", x="y")):
            self.refused(4, bp.FormatError, self.delegated(head=head))
        for text in ("", "a.b", "..", self.signed() + "=", self.signed()):
            self.refused(4, bp.FormatError, local.token(header(local, dlg=text), payload()))
        self.refused(3, bp.FormatError, local.token(header(local, dlg=None), payload()))

    def test_what_holds_for_a_key_holds_for_what_it_delegates(self) -> None:
        for changes in ({"revoked": True}, {"products": ["other"]}):
            self.refused(7, bp.UnusableKeyError, self.delegated(), trusted=keyset(self.es.in_keyset(**changes)))
        local = self.local["EdDSA"]
        self.refused(4, bp.UnknownKeyError, local.token(header(local), payload()))
        wrong = self.local["ES256"].token(header(local, dlg=self.delegation(local)), payload())
        self.refused(5, bp.SignatureError, wrong)


class Keysets(unittest.TestCase):
    def test_a_keyset_that_cannot_be_used_is_refused_at_the_start(self) -> None:
        key, ed = Key(), Key("EdDSA")
        second_spelling = (bp.ED25519_PRIME + 3).to_bytes(32, "little")
        for keys, changes in (
            ([], {"v": 2}),
            ([], {"v": True}),
            ([], {"epoch": DELETE}),
            ([], {"expires": "2030"}),
            ([], {"nonces": 1}),
            ([key.in_keyset(), key.in_keyset()], {}),
            ([key.in_keyset(kid="x")], {}),
            ([key.in_keyset(use="enc")], {}),
            ([key.in_keyset(revoked=0)], {}),
            ([key.in_keyset(products="*")], {}),
            ([key.in_keyset(nbf=None)], {}),
            ([key.in_keyset(d="AAAA")], {}),
            ([ed.in_keyset(y=key.jwk["y"])], {}),
            ([], {"epoch": 0}),
            ([], {"version": 0}),
            ([key.in_keyset(alg="EdDSA")], {}),
            ([key.in_keyset(crv="P-384")], {}),
            ([key.in_keyset(y=key.jwk["x"])], {}),
            ([ed.in_keyset(x=encode(second_spelling))], {}),
            (["x"], {}),
        ):
            with self.subTest(keys=keys, changes=changes), self.assertRaises(bp.ConfigurationError):
                keyset(*keys, **changes)
        for data in (b"", b"[]", b'{"v":1,"v":1}', b"\xef\xbb\xbf{}"):
            with self.assertRaises(bp.ConfigurationError):
                bp.Keyset.parse(data)

    def test_keys_under_which_any_message_is_signed_are_refused(self) -> None:
        self.assertEqual(sum(sorted(bp.ED25519_SMALL_ORDER)[2:4]), bp.ED25519_PRIME)  # the two of order 8: y and -y
        for height in bp.ED25519_SMALL_ORDER:
            for sign in (0, 2**255):
                jwk = {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "alg": "EdDSA",
                    "x": encode((height + sign).to_bytes(32, "little")),
                }
                with self.assertRaises(ValueError):
                    bp.PublicKey.parse(jwk)


    def test_coordinates_of_no_point_are_no_key(self) -> None:
        prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
        key = Key().jwk
        x, y = (int.from_bytes(bp.decode_base64url(key[name]), "big") for name in "xy")
        five = 0x459243B9AA581806FE913BCE99817ADE11CA503C64D9A3C533415C083248FBCC  # the ordinate at 5
        jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256"}

        def parse(x: int, y: int, length: int = 32) -> bp.PublicKey:
            return bp.PublicKey.parse(
                {**jwk, "x": encode(x.to_bytes(length, "big")), "y": encode(y.to_bytes(32, "big"))}
            )

        parse(x, y), parse(5, five)
        ones = 2**256 - 1
        for wrong in ((0, 0), (y, x), (x, x), (x, y ^ 1), (x ^ 1, y), (prime, y), (x, prime), (ones, ones), (0, y)):
            with self.subTest(wrong=wrong), self.assertRaises(ValueError):
                parse(*wrong)
        for second_spelling, length in ((5 + prime, 32), (5, 31), (5, 33), (5, 1)):
            with self.subTest(x=second_spelling, length=length), self.assertRaises(ValueError):
                parse(second_spelling, five, length)


class Signed:
    """Root keys of the test's own, and the files that they sign."""

    ISSUER = QUESTION.issuer

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()  # type: ignore[misc]
        cls.roots = [Key("EdDSA") for _ in range(4)]
        cls.first, cls.second = Key("ES256"), Key("EdDSA")

    def content(self, version: int, /, **changes: Any) -> dict[str, Any]:
        root = {"threshold": 2, "keys": [key.jwk for key in self.roots[:3]]}
        value = {"v": 1, "iss": self.ISSUER, "version": version, "epoch": 3, "expires": 2**40, "nonces": True}
        return changed({**value, "keys": [self.first.in_keyset(nbf=0, exp=2**40)], "root": root}, **changes)

    def signature(self, key: Key, body: str, **changes: Any) -> dict[str, Any]:
        head = encode(to_json(header(key, **{"typ": "signed-keyset+jws", **changes})))
        return {"protected": head, "signature": encode(key.sign(f"{head}.{body}".encode()))}

    def file(self, version: int, signers: Any = None, /, **changes: Any) -> bytes:
        body = encode(to_json(self.content(version, **changes)))
        signers = self.roots[:2] if signers is None else signers
        return to_json({"payload": body, "signatures": [self.signature(key, body) for key in signers]})

    def root(self, threshold: Any, *keys: Key, **changes: Any) -> dict[str, Any]:
        return changed({"threshold": threshold, "keys": [key.jwk for key in keys]}, **changes)


class SignedKeysets(Signed, unittest.TestCase):
    """The rules of docs/keys.md, without a network."""

    def setUp(self) -> None:
        self.trusted = bp.SignedKeyset.pin(self.file(7))

    def refused(self, rule: int, data: bytes, trusted: Any = None) -> None:
        with self.assertRaises(bp.KeysetError) as caught:
            (trusted or self.trusted).next(data)
        self.assertEqual(caught.exception.rule, rule, str(caught.exception))
        self.assertRegex(str(caught.exception), r".; nothing was changed", "the message says what to do")

    def walk(self, files: dict[int, bytes], now: int = NOW) -> bp.SignedKeyset:
        return bp.walk(self.trusted, files.get, now)

    def test_the_first_is_pinned_if_a_threshold_of_its_own_root_has_signed_it(self) -> None:
        self.assertEqual((self.trusted.version, self.trusted.issuer), (7, self.ISSUER))
        self.assertEqual(list(self.trusted.keyset.keys), [self.first.kid])
        bp.SignedKeyset.pin(self.file(7, expires=1))
        for signers in ([], self.roots[:1], [self.roots[0], self.roots[3]]):
            with self.assertRaises(bp.ConfigurationError):
                bp.SignedKeyset.pin(self.file(7, signers))

    def test_the_next_is_trusted_and_nothing_but_the_next(self) -> None:
        self.assertEqual(self.trusted.next(self.file(8)).version, 8)
        for version in (9, 7, 6, 1):
            self.refused(5, self.file(version))

    def test_both_roots_have_to_sign_each_key_counted_once(self) -> None:
        a, b, c, d = self.roots
        root = self.root(2, a, d)
        for rule, signers in ((2, [a]), (2, [a, d]), (2, []), (3, [b, c]), (3, [a, b])):
            with self.subTest(rule=rule, signers=len(signers)):
                self.refused(rule, self.file(8, signers, root=root))
        rotated = self.trusted.next(self.file(8, [a, b, d], root=root))
        self.refused(2, self.file(9, [a, b]), rotated)
        self.assertEqual(rotated.next(self.file(9, [a, d, b])).version, 9)
        self.trusted.next(self.file(8, [a, b], root=self.root(1, a)))

    def test_a_signature_of_another_key_is_passed_over_and_of_a_root_key_it_has_to_hold(self) -> None:
        a, b, c, d = self.roots
        self.trusted.next(self.file(8, [d, a, b]))
        for key, rule in ((c, 2), (d, 3)):
            outer = json.loads(self.file(8, [a, b], root=self.root(1, a, d)))
            wrong = self.signature(key, outer["payload"])
            wrong["signature"] = encode(key.sign(b"something else"))
            self.refused(rule, to_json({**outer, "signatures": [*outer["signatures"], wrong]}))
        outer = json.loads(self.file(8, [a, b]))
        stranger = {**self.signature(d, outer["payload"]), "signature": encode(bytes(64))}
        self.trusted.next(to_json({**outer, "signatures": [stranger, *outer["signatures"]]}))

    def test_two_signatures_by_one_key_are_refused_whoever_it_is(self) -> None:
        a, b, _, d = self.roots
        self.refused(1, self.file(8, [a, a]))
        self.refused(1, self.file(8, [a, b, a]))
        self.refused(1, self.file(8, [a, b, d, d]))

    def test_another_issuer_and_a_lower_epoch_are_refused(self) -> None:
        self.refused(4, self.file(8, iss="https://other.example.com"))
        self.refused(6, self.file(8, epoch=2))
        self.assertEqual(self.trusted.next(self.file(8, epoch=5)).keyset.epoch, 5)

    def test_the_first_rule_that_is_broken_is_the_one_that_is_told(self) -> None:
        a, b, _, d = self.roots
        faults: dict[str, Any] = {"epoch": 2}
        for rule, fault in ((6, {}), (5, {"version": 9}), (4, {"iss": "x"}), (3, {"root": self.root(1, d)})):
            faults.update(fault)
            self.refused(rule, self.file(8, [a, b], **faults))
        self.refused(2, self.file(9, [a], **faults))
        self.refused(1, self.file(9, [a], **{**faults, "v": 2}))

    def test_a_file_has_one_spelling_and_exactly_its_members(self) -> None:
        a, b = self.roots[:2]
        good = json.loads(self.file(8))
        body, one, two = good["payload"], *good["signatures"]

        def with_one(**changes: Any) -> dict[str, Any]:
            return {**good, "signatures": [changed(one, **changes), two]}

        def with_header(**changes: Any) -> dict[str, Any]:
            return {**good, "signatures": [self.signature(a, body, **changes), two]}

        for value in (
            {**good, "x": 1},
            changed(good, payload=DELETE),
            changed(good, signatures=DELETE),
            {**good, "payload": body + "="},
            {**good, "payload": ""},
            {**good, "payload": 1},
            {**good, "signatures": {}},
            {**good, "signatures": [one, two, "x"]},
            {**good, "signatures": [self.signature(Key("EdDSA"), body) for _ in range(31)] + [one, two]},
            with_one(header={}),
            with_one(signature=DELETE),
            with_one(signature=encode(bytes(63))),
            with_one(signature=one["signature"] + "=="),
            with_one(protected=one["protected"] + "="),
            with_header(typ="update-decision+jws"),
            with_header(alg="ES256"),
            with_header(kid=1),
            with_header(kid=DELETE),
            with_header(crit=["b64"]),
            with_header(b64=False),
        ):
            with self.subTest(value):
                self.refused(1, to_json(value))
        text = to_json(good)
        for data in (b"", b"[]", b"\xef\xbb\xbf" + text, text[:-1] + b',"payload":""}', text + b" " * 1_048_576):
            self.refused(1, data)
        self.trusted.next(text + b" " * (1_048_576 - len(text)))
        self.trusted.next(self.file(8, [*self.roots, *(Key("EdDSA") for _ in range(28))]))

    def test_the_signed_part_has_its_shape(self) -> None:
        a, b, _, d = self.roots
        root = self.root(2, a, b)
        for changes in (
            {"iss": DELETE},
            {"iss": 1},
            {"v": 2},
            {"epoch": "3"},
            {"epoch": 0},
            {"version": 0},
            {"version": -8},
            {"keys": [{}]},
            {"root": DELETE},
            {"root": []},
            {"root": {**root, "threshold": 0}},
            {"root": {**root, "threshold": 3}},
            {"root": {**root, "threshold": True}},
            {"root": self.root(1)},
            {"root": self.root(2, a, b, b)},
            {"root": self.root(2, a, b, *(Key("EdDSA") for _ in range(31)))},
            {"root": self.root(2, a, b, Key("ES256"))},
            {"root": {**root, "keys": [a.jwk, b.jwk, {**d.jwk, "kid": d.kid}]}},
            {"root": {**root, "keys": [a.jwk, b.jwk, changed(d.jwk, alg=DELETE)]}},
            {"root": {**root, "keys": [a.jwk, b.jwk, "x"]}},
        ):
            with self.subTest(changes):
                self.refused(1, self.file(8, [a, b], **changes))
        self.trusted.next(self.file(8, x_new={"a": 1}, root={**root, "x_new": 1}))

    def test_a_root_key_of_small_order_verifies_nothing(self) -> None:
        a, b, c = self.roots[:3]
        forged = encode((1).to_bytes(32, "little") + bytes(32))  # under the point of order 1 it fits every message
        self.assertIsNone(
            ed25519.Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little")).verify(
                base64.urlsafe_b64decode(forged + "=="), b"any"
            )
        )
        for height in (*bp.ED25519_SMALL_ORDER, bp.ED25519_PRIME, bp.ED25519_PRIME + 1):
            jwk = {"crv": "Ed25519", "kty": "OKP", "x": encode(height.to_bytes(32, "little"))}
            kid = encode(hashlib.sha256(to_json(jwk)).digest())
            root = {"threshold": 2, "keys": [c.jwk, {**jwk, "alg": "EdDSA"}]}
            outer = json.loads(self.file(8, [a, b, c], root=root))
            self.refused(3, to_json(outer))
            outer["signatures"].append({**self.signature(c, outer["payload"], kid=kid), "signature": forged})
            self.refused(3, to_json(outer))
            trusted = self.trusted.next(self.file(8, [a, b, c], root={**root, "threshold": 1}))
            self.assertEqual(trusted.next(self.file(9, [a, b, c])).version, 9, "the other keys still count")

    def test_the_walk_ends_where_no_next_version_is(self) -> None:
        self.assertIs(self.walk({}), self.trusted)
        self.assertEqual(self.walk({8: self.file(8), 9: self.file(9), 11: self.file(11)}).version, 9)
        with self.assertRaises(bp.KeysetError) as caught:
            self.walk({8: self.file(8), 9: self.file(11)})
        self.assertEqual(caught.exception.rule, 5)
        with self.assertRaises(bp.KeysetError):
            self.walk({8: self.file(7)})

    def test_expiry_counts_for_the_last_alone(self) -> None:
        self.trusted = bp.SignedKeyset.pin(self.file(7, expires=1))
        files = {8: self.file(8, expires=2), 9: self.file(9, expires=NOW + 1)}
        self.assertEqual(self.walk(files).version, 9)
        for now in (NOW + 1, NOW + 2**30):
            with self.assertRaises(bp.KeysetExpiredError):
                self.walk(files, now)

    def test_a_walk_takes_a_thousand_steps_and_no_more(self) -> None:
        root, asked = self.root(1, self.roots[0]), []
        self.trusted = bp.SignedKeyset.pin(self.file(7, root=root))

        def fetch(version: int) -> bytes:
            asked.append(version)
            return self.file(version, self.roots[:1], root=root)

        self.assertEqual(bp.walk(self.trusted, fetch, NOW).version, 1007)
        self.assertEqual(asked, list(range(8, 1008)))

    def test_a_file_is_taken_for_what_it_is(self) -> None:
        self.assertIsInstance(bp.read_keyset(self.file(7)), bp.SignedKeyset)
        self.assertIsInstance(bp.read_keyset(to_json(self.content(7))), bp.Keyset, "the signed part, pinned by hand")
        for data in (b"", b"x", b"[]", b"{}", b'{"signatures":[]}', self.file(7, [])):
            with self.assertRaises(bp.ConfigurationError):
                bp.read_keyset(data)


class Places(http.server.BaseHTTPRequestHandler):
    """Answers by what the test put under the path: a function of the handler."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers)))  # type: ignore[attr-defined]
        self.close_connection = True
        self.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        with contextlib.suppress(OSError):
            self.server.places[self.path](self)  # type: ignore[attr-defined]

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: bytes, **headers: Any) -> None:
        self.send_response_only(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)


class OverHttp(unittest.TestCase):
    """A service and a mirror on 127.0.0.1, and a client in a folder of its own."""

    def setUp(self) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Places)
        self.server.daemon_threads = True
        self.server.places, self.server.seen = {"/v1/decision": self.decide}, []  # type: ignore[attr-defined]
        self.places, self.seen = self.server.places, self.server.seen  # type: ignore[attr-defined]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.enterPatch(mock.patch.dict(os.environ, {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}))
        self.key = Key("EdDSA")
        self.keyset = keyset(self.key.in_keyset(nbf=0, exp=2**40), expires=2**40)
        self.question = dataclasses.replace(QUESTION, issuer=self.base, nonce=None, allow_loopback_http=True)
        self.bytes = random.Random(7).randbytes(300_000)
        self.offer: dict[str, Any] = {}
        self.naps: list[float] = []

    def enterPatch(self, patch: Any) -> None:
        patch.start()
        self.addCleanup(patch.stop)

    def client(self, **options: Any) -> bp.Client:
        options = {"timeout": 5, "sleep": self.naps.append, **options}
        return bp.Client(
            options.pop("keyset", self.keyset), self.question, os.path.join(self.folder, "state"), **options
        )

    def token(self, nonce: Any, **changes: Any) -> str:
        more = {} if changes.get("artifact") is DELETE else changes.pop("artifact", {})
        artifact = {**ARTIFACT, "size_bytes": len(self.bytes), "sha256": hashlib.sha256(self.bytes).hexdigest()}
        artifact.update({"url": f"{self.base}/file", "file_name": "editor.deb", **more})
        now = int(time.time())
        value = payload(iss=self.base, iat=now, exp=now + 3600, nonce=nonce, artifact=artifact)
        return self.key.token(header(self.key), changed(value, **changes))

    def decide(self, place: Places) -> None:
        asked = json.loads(place.body)
        self.asked = asked
        token = self.token(asked.get("nonce", DELETE), **self.offer)
        place.answer(200, to_json({"decisions": [{"action": "NONE", "signature": token}]}))

    def serve(self, place: Places, data: bytes | None = None) -> None:
        """A good mirror, with Range."""
        data = self.bytes if data is None else data
        wanted = place.headers["Range"]
        if wanted is None:
            return place.answer(200, data)
        start = int(wanted[len("bytes=") : -1])
        if start >= len(data):
            return place.answer(416, b"", Content_Range=f"bytes */{len(data)}")
        return place.answer(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")

    def downloaded(self, **options: Any) -> str:
        client = self.client(**options)
        return client.download(client.check(), os.path.join(self.folder, "files"))

    def assertNothingInstalled(self) -> None:
        files = os.listdir(os.path.join(self.folder, "files"))
        self.assertEqual([name for name in files if not name.startswith(".")], [])

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()


class Asking(OverHttp):
    def test_a_decision_is_asked_for_with_a_fresh_nonce_and_remembered(self) -> None:
        client = self.client()
        self.assertEqual(client.check().action, "INSTALL")
        first = self.asked["nonce"]
        self.assertRegex(first, r"^[A-Za-z0-9_-]{22}$")
        self.assertEqual(client.state.read(self.question.scope), (3, 42))
        client.check()
        self.assertNotEqual(self.asked["nonce"], first)
        row = {
            "product_id": "acme",
            "current_version": "1.4.0",
            "channel": "stable",
            "platform": "linux",
            "arch": "x86_64",
        }
        self.assertEqual(self.asked["products"], [row])

    def test_a_nonce_is_sent_where_the_keyset_or_the_caller_says_so(self) -> None:
        without = dataclasses.replace(self.keyset, nonces=False)
        self.client(keyset=without).check()
        self.assertNotIn("nonce", self.asked)
        self.client(keyset=without, always_nonce=True).check()
        self.assertIn("nonce", self.asked)

    def test_an_empty_answer_or_a_failure_is_an_error_and_never_no_update(self) -> None:
        good = to_json({"decisions": [{"signature": "x"}]})
        for status, body, kind in (
            (200, b"", bp.AnswerError),
            (200, b"  \n", bp.AnswerError),
            (204, b"", bp.AnswerError),
            (200, b"{}", bp.AnswerError),
            (200, b'{"decisions":[]}', bp.AnswerError),
            (200, b'{"decisions":[{}]}', bp.AnswerError),
            (200, b'{"decisions":[{"signature":null}]}', bp.AnswerError),
            (200, b'{"decisions":[{"signature":""}]}', bp.FormatError),
            (200, b'{"decisions":[{"action":"NONE"}]}', bp.AnswerError),
            (200, b"[" * 100_000, bp.AnswerError),
            (200, good[:-5], bp.AnswerError),
            (200, b"<html>", bp.AnswerError),
            (200, b" " * 300_000, bp.AnswerError),
            (200, good + b" " * 300_000, bp.AnswerError),
            (302, b"", bp.AnswerError),
            (401, b'{"code":"UNAUTHORIZED","message":"no \x1b[31m such token"}', bp.AnswerError),
            (404, b"", bp.AnswerError),
            (500, b"", bp.AnswerError),
            (502, good, bp.AnswerError),
            (503, b"", bp.TryLaterError),
            (429, b"", bp.TryLaterError),
        ):
            with self.subTest(status=status, body=body[:30]):
                self.places["/v1/decision"] = lambda place, s=status, b=body: place.answer(
                    s, b, Location="/elsewhere", Content_Length=None if s == 204 else len(b)
                )
                with self.assertRaises(bp.BigPictureError) as caught:
                    self.client().check()
                self.assertIs(type(caught.exception), kind, str(caught.exception))
                self.assertRegex(str(caught.exception), r".; .")
                self.assertNotIn("\x1b", str(caught.exception))
        self.assertIsNone(self.client().state.read(self.question.scope))
        self.assertNotIn("/elsewhere", [path for _, path, _ in self.seen])

    def test_retry_after_is_told(self) -> None:
        self.places["/v1/decision"] = lambda place: place.answer(503, b"{}", Retry_After="17")
        with self.assertRaises(bp.TryLaterError) as caught:
            self.client().check()
        self.assertEqual(caught.exception.retry_after, 17)

    def test_a_busy_server_that_says_nothing_wants_half_a_minute(self) -> None:
        for status in (429, 503):
            self.places["/v1/decision"] = lambda place, status=status: place.answer(status, b"")
            with self.assertRaises(bp.TryLaterError) as caught:
                self.client().check()
            self.assertTrue(30 <= caught.exception.retry_after <= 40)

    def test_a_server_that_is_away_or_never_ends_is_a_transport_error(self) -> None:
        def drip(place: Places) -> None:
            while True:
                place.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.02)

        def drip_body(place: Places) -> None:
            place.answer(200, b"", Content_Length=100_000)
            while True:
                place.wfile.write(b" ")
                time.sleep(0.02)

        for trouble in (drip, drip_body, lambda place: None, lambda place: place.wfile.write(b"\xff\xff\r\n\r\n")):
            self.places["/v1/decision"] = trouble
            begun = time.monotonic()
            with self.assertRaises(bp.TransportError):
                self.client(ask_seconds=0.5).check()
            self.assertLess(time.monotonic() - begun, 4)
        self.server.shutdown()
        self.server.server_close()
        with self.assertRaises(bp.TransportError):
            self.client().check()

    def test_a_wrong_clock_is_reported_with_the_servers_time(self) -> None:
        def dated(place: Places) -> None:
            asked = json.loads(place.body)
            token = self.token(asked["nonce"], **NOTHING)
            place.answer(200, to_json({"decisions": [{"signature": token}]}), Date=email.utils.formatdate(usegmt=True))

        self.places["/v1/decision"] = dated
        for years, word in ((-10, "behind"), (10, "ahead of")):
            with self.assertRaises(bp.ClockError) as caught:
                self.client(clock=lambda y=years: time.time() + y * 31_557_600).check()
            self.assertIn(word, str(caught.exception))
            self.assertIn("set this machine's clock", str(caught.exception))

    def test_an_older_answer_is_asked_for_again_twice_and_changes_nothing(self) -> None:
        client = self.client()
        client.check()
        self.offer = {"seq": 41}
        with self.assertRaises(bp.OlderAnswerError):
            client.check()
        self.assertEqual(self.naps, [30, 30])
        self.assertEqual(client.state.read(self.question.scope), (3, 42))
        self.offer = {"seq": 41}
        client.sleep = lambda _: self.offer.update(seq=43)
        self.assertEqual(client.check().revision, (3, 43))

    def test_state_is_kept_apart_survives_a_crash_and_is_never_guessed(self) -> None:
        state = bp.State(os.path.join(self.folder, "state"))
        one, two, three = ("i", "p", None), ("i", "p", "t"), ("i", "p2", None)
        state.store(one, (1, 5))
        state.store(two, (1, 7))
        self.assertEqual([state.read(scope) for scope in (one, two, three)], [(1, 5), (1, 7), None])
        with self.assertRaises(bp.OlderAnswerError):
            state.store(one, (1, 4))
        with mock.patch("os.replace", side_effect=OSError("full")), self.assertRaises(bp.StateError):
            state.store(one, (1, 6))
        self.assertEqual(state.read(one), (1, 5))
        self.assertEqual([name for name in os.listdir(state.folder) if name.startswith(".state-")], [])
        for damage in (b"", b"{}", b'{"epoch":1,"seq":1}', b'{"scope":["i","p","t"],"epoch":1,"seq":1}'):
            with open(state._path(one), "wb") as file:
                file.write(damage)
            with self.assertRaises(bp.StateError):
                state.read(one)

    def test_concurrent_clients_never_lower_the_state(self) -> None:
        state, scope = bp.State(os.path.join(self.folder, "state")), ("i", "p", None)

        def store(seq: int) -> None:
            with contextlib.suppress(bp.OlderAnswerError):
                state.store(scope, (1, seq))

        threads = [threading.Thread(target=store, args=(seq,)) for seq in random.Random(3).sample(range(1, 41), 40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(state.read(scope), (1, 40))

    def test_a_server_without_https_is_refused(self) -> None:
        self.question = dataclasses.replace(self.question, allow_loopback_http=False)
        with self.assertRaises(bp.ConfigurationError):
            self.client()


class Following(Signed, OverHttp):
    """A client with a signed keyset, a service that publishes newer ones."""

    def setUp(self) -> None:
        super().setUp()
        self.ISSUER = self.base
        self.key = self.first
        self.paths = [f"/v1/keyset/{version}.keyset" for version in range(20)]
        for path in self.paths:
            self.places[path] = lambda place: place.answer(404, b"")
        self.shipped = bp.SignedKeyset.pin(self.file(7))

    def client(self, **options: Any) -> bp.Client:
        return super().client(**{"keyset": self.shipped, **options})

    def publish(self, version: int, /, *args: Any, **changes: Any) -> None:
        data = self.file(version, *args, **changes)
        self.places[self.paths[version]] = lambda place: place.answer(200, data)

    def with_keys(self, *keys: dict[str, Any]) -> dict[str, Any]:
        return {"keys": [{**key, "nbf": 0, "exp": 2**40} for key in keys]}

    def moved_on(self) -> dict[str, Any]:
        """The first key was revoked, the second signs, a new epoch has begun."""
        self.key, self.offer = self.second, {"epoch": 4, "seq": 1}
        revoked = self.first.in_keyset(revoked=True)
        return {**self.with_keys(revoked, self.second.in_keyset()), "epoch": 4}

    def requests(self) -> list[str]:
        paths = [path for _, path, _ in self.seen]
        self.seen.clear()
        return paths

    def kept(self) -> Any:
        return bp.State(os.path.join(self.folder, "state")).read_keyset(self.base)

    def assertLeft(self, client: bp.Client) -> None:
        self.assertEqual((client.keyset.version, self.kept()), (7, None))

    def test_nothing_newer_is_fetched_while_decisions_verify(self) -> None:
        self.publish(8)
        self.assertEqual(self.client().check().action, "INSTALL")
        self.assertEqual(self.requests(), ["/v1/decision"])

    def test_a_client_recovers_by_itself_after_a_key_was_revoked(self) -> None:
        self.client().check()
        self.requests()
        self.publish(8)
        self.publish(9, **self.moved_on())
        client = self.client(api_token="bp_secret")
        self.assertEqual(client.check().revision, (4, 1))
        sent = [(path, headers.get("Authorization")) for _, path, headers in self.seen]
        api = ("/v1/decision", "Bearer bp_secret")
        self.assertEqual(sent, [api, *((path, None) for path in self.paths[8:11]), api])
        self.assertEqual((client.keyset.version, self.kept().version), (9, 9))
        self.requests()
        self.assertEqual(self.client().check().revision, (4, 1))
        self.assertEqual(self.requests(), ["/v1/decision"], "what was reached is remembered")
        self.key, self.offer = self.first, {"epoch": 4, "seq": 2}
        with self.assertRaises(bp.UnusableKeyError):
            self.client().check()
        self.offer = {"epoch": 3, "seq": 99}
        self.key = self.second
        with self.assertRaises(bp.OlderAnswerError):
            self.client().check()
        self.assertNotIn(self.paths[10], self.requests(), "neither is a reason to look for a newer one")

    def test_a_server_that_has_not_heard_of_a_new_epoch_is_asked_again_and_the_state_kept(self) -> None:
        both = {**self.with_keys(self.first.in_keyset(), self.second.in_keyset()), "epoch": 4}
        self.shipped = bp.SignedKeyset.pin(self.file(7, **both))
        self.offer = {"epoch": 4, "seq": 1}
        client = self.client()
        client.check()
        self.offer = {"epoch": 3, "seq": 99}
        self.requests()
        with self.assertRaises(bp.OlderAnswerError):
            client.check()
        self.assertEqual((self.naps, self.requests()), ([30, 30], ["/v1/decision"] * 3))
        self.assertEqual(client.state.read(self.question.scope), (4, 1))
        client.sleep = lambda _: self.offer.update(epoch=4, seq=2)
        self.assertEqual(client.check().revision, (4, 2))

    def test_a_known_key_in_a_higher_epoch_is_a_reason_to_look(self) -> None:
        both = self.with_keys(self.first.in_keyset(), self.second.in_keyset())
        self.shipped = bp.SignedKeyset.pin(self.file(7, **both))
        self.publish(8, **self.moved_on())
        self.assertEqual(self.client().check().revision, (4, 1))

    def test_a_keyset_or_a_key_that_is_over_is_a_reason_to_look(self) -> None:
        over = self.first.in_keyset(nbf=0, exp=NOW)
        for changes in ({"expires": NOW}, {"keys": [over]}):
            with self.subTest(changes):
                self.shipped = bp.SignedKeyset.pin(self.file(7, **changes))
                with self.assertRaises(bp.ClockError):
                    self.client().check()
                self.publish(8)
                client = self.client()
                self.assertEqual((client.check().action, client.keyset.version), ("INSTALL", 8))
                os.unlink(client.state._keyset_path(self.base))
                self.places[self.paths[8]] = lambda place: place.answer(404, b"")

    def test_it_is_looked_for_once_in_a_check_and_asked_once_more(self) -> None:
        self.publish(8)
        self.key = self.second
        with self.assertRaises(bp.UnknownKeyError):
            self.client().check()
        self.assertEqual(self.requests(), ["/v1/decision", self.paths[8], self.paths[9], "/v1/decision"])
        with self.assertRaises(bp.UnknownKeyError):
            self.client().check()
        self.assertEqual(self.requests(), ["/v1/decision", self.paths[9]], "nothing newer: not asked again")

    def test_a_plain_keyset_is_never_replaced(self) -> None:
        self.publish(8, **self.moved_on())
        client = self.client(keyset=bp.Keyset.parse(to_json(self.content(7))))
        with self.assertRaises(bp.UnknownKeyError):
            client.check()
        self.assertFalse(client.refresh_keyset())
        self.assertEqual(self.requests(), ["/v1/decision"])
        self.assertLeft(client)

    def test_a_walk_that_fails_anywhere_leaves_everything_as_it_was(self) -> None:
        a, b = self.roots[:2]
        moved = self.moved_on()
        for kind, args, changes in (
            (bp.KeysetError, [[a]], {}),
            (bp.KeysetError, [[a, b, a]], {}),
            (bp.KeysetError, [], {"version": 10}),
            (bp.KeysetError, [], {"version": 8}),
            (bp.KeysetError, [], {"iss": "https://other.example.com"}),
            (bp.KeysetError, [], {"epoch": 2}),
            (bp.KeysetExpiredError, [], {"expires": NOW}),
        ):
            with self.subTest(args=len(args), changes=changes):
                self.publish(8, **moved)
                self.publish(9, *args, **{**moved, **changes})
                client = self.client()
                with self.assertRaises(kind):
                    client.check()
                self.assertLeft(client)

    def test_a_service_that_answers_nonsense_is_an_error_and_changes_nothing(self) -> None:
        self.publish(8, **self.moved_on())
        for status, body, kind in (
            (200, b"", bp.KeysetError),
            (200, b" " * 1_100_000, bp.KeysetError),
            (200, b"<html>", bp.KeysetError),
            (302, b"", bp.AnswerError),
            (403, b"", bp.AnswerError),
            (500, b"", bp.AnswerError),
            (503, b"", bp.TryLaterError),
        ):
            with self.subTest(status=status, body=body[:9]):
                self.places[self.paths[9]] = lambda place, s=status, b=body: place.answer(s, b, Location="/elsewhere")
                client = self.client()
                with self.assertRaises(bp.BigPictureError) as caught:
                    client.check()
                self.assertIs(type(caught.exception), kind, str(caught.exception))
                self.assertLeft(client)

    def test_it_is_remembered_before_it_is_used(self) -> None:
        self.publish(8, **self.moved_on())
        client = self.client()
        with mock.patch("os.replace", side_effect=OSError("full")), self.assertRaises(bp.StateError):
            client.check()
        self.assertLeft(client)
        self.assertEqual([name for name in os.listdir(client.state.folder) if name.startswith(".state-")], [])

    def test_the_newer_of_the_shipped_and_the_reached_is_used(self) -> None:
        self.publish(8)
        self.assertTrue(self.client().refresh_keyset())
        self.assertFalse(self.client().refresh_keyset())
        self.assertEqual(self.client().keyset.version, 8)
        self.shipped = bp.SignedKeyset.pin(self.file(9))
        client = self.client()
        self.assertEqual((client.keyset.version, client.refresh_keyset()), (9, False))
        self.publish(10)
        self.assertTrue(client.refresh_keyset())
        self.assertEqual(self.kept().version, 10)

    def test_processes_with_one_folder_never_go_back(self) -> None:
        state = bp.State(os.path.join(self.folder, "state"))
        eight, nine = (bp.SignedKeyset.pin(self.file(version)) for version in (8, 9))
        old = self.client()
        self.assertEqual([state.store_keyset(signed).version for signed in (nine, eight)], [9, 9])
        self.assertEqual((old.refresh_keyset(), old.keyset.version), (True, 9))
        self.assertEqual(self.requests(), [self.paths[10]], "it goes on where the other process has come to")

    def test_a_damaged_file_is_an_error_that_says_what_to_do(self) -> None:
        self.publish(8)
        client = self.client()
        client.refresh_keyset()
        path = client.state._keyset_path(self.base)
        good = self.read(path)
        self.ISSUER = "https://other.example.com"
        for damage in (b"", good[:-9], good.replace(b'"payload":"', b'"payload":"A'), self.file(8), self.file(8, [])):
            with open(path, "wb") as file:
                file.write(damage)
            for use in (self.client, client.refresh_keyset):
                with self.assertRaises(bp.StateError) as caught:
                    use()
                self.assertIn(path, str(caught.exception))
                self.assertIn("; delete the file", str(caught.exception))
            self.assertEqual(self.read(path), damage, "it is left for somebody to look at")
        os.unlink(path)
        self.assertEqual(self.client().keyset.version, 7)

    def test_the_signed_keyset_of_another_issuer_is_refused_at_the_start(self) -> None:
        self.ISSUER = "https://other.example.com"
        self.shipped = bp.SignedKeyset.pin(self.file(7))
        with self.assertRaises(bp.ConfigurationError):
            self.client()

    def test_a_clock_that_is_ten_years_off_is_called_that_and_never_no_update(self) -> None:
        self.offer = NOTHING
        year = int(time.time()) + 31_557_600
        ends = {"expires": year, "keys": [self.first.in_keyset(nbf=year - 63_115_200, exp=year)]}
        self.shipped = bp.SignedKeyset.pin(self.file(7, **ends))
        self.assertEqual(self.client().check().action, "NONE")
        revision = self.client().state.read(self.question.scope)
        for published in (None, 404, 500, 503):
            self.places[self.paths[8]] = lambda place, status=published: place.answer(status, b"")
            if published is None:
                self.publish(8, **ends)
            for years in (-10, 10):
                with self.subTest(published=published, years=years):
                    client = self.client(clock=lambda y=years: time.time() + y * 31_557_600)
                    with self.assertRaises(bp.ClockError) as caught:
                        client.check()
                    self.assertIn("set this machine's clock", str(caught.exception))
                    self.assertLeft(client)
        self.assertEqual(self.client().state.read(self.question.scope), revision)

    def test_the_command_line_takes_either_kind(self) -> None:
        self.publish(8, **self.moved_on())
        path = os.path.join(self.folder, "7.keyset")
        given = {"server": self.base, "keyset": path, "state": os.path.join(self.folder, "state"), "product": "acme"}
        given.update({"version": "1.4.0", "platform": "linux", "arch": "x86_64"})
        options = [part for name, text in given.items() for part in (f"--{name}", text)]
        for data, expected in ((to_json(self.content(7)), 1), (self.file(7), 0), (self.file(7, []), 2)):
            with open(path, "wb") as file:
                file.write(data)
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = bp.main(["check", *options, "--allow-loopback-http"])
            self.assertEqual(code, expected, err.getvalue())
        self.assertEqual(self.kept().version, 8)


class Downloading(OverHttp):
    def test_the_file_appears_under_its_name_with_the_signed_bytes(self) -> None:
        self.places["/file"] = self.serve
        path = self.downloaded()
        self.assertEqual((os.path.basename(path), self.read(path)), ("editor.deb", self.bytes))
        self.assertEqual(self.downloaded(), path)
        self.assertEqual([path for _, path, _ in self.seen].count("/file"), 1, "what is there is not fetched again")

    def test_a_file_of_other_bytes_under_the_name_is_replaced(self) -> None:
        self.places["/file"] = self.serve
        os.makedirs(os.path.join(self.folder, "files"))
        with open(os.path.join(self.folder, "files", "editor.deb"), "wb") as file:
            file.write(b"old")
        self.assertEqual(self.read(self.downloaded()), self.bytes)

    def test_a_hostile_mirror_never_gets_a_byte_installed(self) -> None:
        swapped = bytes([self.bytes[0] ^ 1]) + self.bytes[1:]

        def endless(place: Places) -> None:
            place.answer(200, b"", Content_Length=None)
            while True:
                place.wfile.write(b"x" * 65_536)

        for name, place, kind in (
            ("wrong bytes", lambda place: self.serve(place, swapped), bp.WrongBytesError),
            ("truncated", lambda place: self.serve(place, self.bytes[:-1]), bp.WrongBytesError),
            ("longer", lambda place: self.serve(place, self.bytes + b"x"), bp.WrongBytesError),
            (
                "longer, length unsaid",
                lambda place: place.answer(200, self.bytes + b"x", Content_Length=None),
                bp.WrongBytesError,
            ),
            (
                "truncated, length unsaid",
                lambda place: place.answer(200, self.bytes[:9], Content_Length=None),
                bp.DownloadError,
            ),
            ("endless", endless, bp.WrongBytesError),
            ("empty", lambda place: place.answer(200, b""), bp.WrongBytesError),
            ("gone", lambda place: place.answer(404, b""), bp.DownloadError),
            ("broken", lambda place: place.answer(500, self.bytes), bp.DownloadError),
            ("part unasked", lambda place: place.answer(206, self.bytes), bp.DownloadError),
            (
                "redirect to http",
                lambda place: place.answer(302, b"", Location="http://dl.example.com/x"),
                bp.AnswerError,
            ),
            ("redirect to a file", lambda place: place.answer(302, b"", Location="file:///etc/passwd"), bp.AnswerError),
            ("redirect in a circle", lambda place: place.answer(302, b"", Location="/file"), bp.AnswerError),
            ("redirect to nonsense", lambda place: place.answer(302, b"", Location="http://[x/"), bp.AnswerError),
        ):
            with self.subTest(name):
                self.places["/file"] = place
                with self.assertRaises(bp.BigPictureError) as caught:
                    self.downloaded()
                self.assertIs(type(caught.exception), kind, str(caught.exception))
                self.assertNothingInstalled()
        parts = [os.path.join(self.folder, "files", name) for name in os.listdir(os.path.join(self.folder, "files"))]
        self.assertLessEqual(max(os.path.getsize(part) for part in parts), len(self.bytes))

    def test_a_mirror_that_drips_is_given_up_in_time(self) -> None:
        def drip(place: Places) -> None:
            place.answer(200, b"", Content_Length=len(self.bytes))
            while True:
                place.wfile.write(b"x")
                time.sleep(0.02)

        self.places["/file"] = drip
        begun = time.monotonic()
        with self.assertRaises(bp.DownloadError):
            self.downloaded(download_seconds=0.5)
        self.assertLess(time.monotonic() - begun, 4)
        self.assertNothingInstalled()

    def test_the_endless_body_of_a_redirect_is_not_read(self) -> None:
        def endless(place: Places) -> None:
            place.answer(302, b"", Location="/there", Content_Length=None)
            while True:
                place.wfile.write(b"x" * 65_536)

        self.places.update({"/file": endless, "/there": self.serve})
        self.assertEqual(self.read(self.downloaded()), self.bytes)

    def test_a_download_that_is_cut_200_times_goes_on_where_it_was(self) -> None:
        chance, cuts, sent = random.Random(5), [200], [0]

        def cut(place: Places) -> None:
            if cuts[0] == 0:
                return self.serve(place)
            cuts[0] -= 1
            start = int((place.headers["Range"] or "bytes=0-")[len("bytes=") : -1])
            data = self.bytes[start : start + chance.randrange(0, 2 * len(self.bytes) // 200)]
            sent[0] += len(data)
            said = f"bytes {start}-{len(self.bytes) - 1}/{len(self.bytes)}"
            place.send_response_only(206 if start else 200)
            place.send_header("Content-Length", str(len(self.bytes) - start))
            if start:
                place.send_header("Content-Range", said)
            place.end_headers()
            place.wfile.write(data)
            return None

        self.places["/file"] = cut
        client = self.client(attempts=1)
        decision = client.check()
        path = None
        for _ in range(201):
            try:
                path = client.download(decision, os.path.join(self.folder, "files"))
                break
            except bp.DownloadError as error:
                self.assertIs(type(error), bp.DownloadError, str(error))
                self.assertNothingInstalled()
        self.assertEqual(self.read(path or ""), self.bytes)
        self.assertLess(sent[0], len(self.bytes), "no byte is fetched twice")

    def test_a_cut_is_tried_again_by_itself(self) -> None:
        troubles = [503, 500]
        self.places["/file"] = lambda place: place.answer(troubles.pop(), b"") if troubles else self.serve(place)
        self.assertEqual(self.read(self.downloaded()), self.bytes)

    def test_a_busy_mirror_is_left_alone_for_half_a_minute_and_a_broken_one_for_a_moment(self) -> None:
        troubles = [(503, {"Retry_After": 7}), (502, {}), (429, {}), (503, {})]

        def trouble(place: Places) -> None:
            if not troubles:
                return self.serve(place)
            status, headers = troubles.pop()
            return place.answer(status, b"", **headers)

        self.places["/file"] = trouble
        self.assertEqual(self.read(self.downloaded()), self.bytes)
        self.assertEqual(len(self.naps), 4)
        self.assertTrue(all(30 <= nap <= 40 for nap in self.naps[:2]), self.naps)
        self.assertLessEqual(self.naps[2], 8)
        self.assertEqual(self.naps[3], 7)

    def test_a_busy_mirror_is_not_waited_for_beyond_patience_and_time(self) -> None:
        for headers, seconds in (({}, 20), ({"Retry_After": 61}, 3_600)):
            self.naps.clear()
            self.places["/file"] = lambda place, headers=headers: place.answer(503, b"", **headers)
            with self.assertRaises(bp.TryLaterError):
                self.downloaded(download_seconds=seconds)
            self.assertEqual(self.naps, [])

    def test_a_kept_part_that_does_not_fit_is_thrown_away(self) -> None:
        self.places["/file"] = self.serve
        files = os.path.join(self.folder, "files")
        os.makedirs(files)
        part = os.path.join(files, f".{hashlib.sha256(self.bytes).hexdigest()}.part")
        for kept in (b"wrong", b"x" * (len(self.bytes) + 1), b"x" * len(self.bytes), self.bytes):
            with open(part, "wb") as file:
                file.write(kept)
            path = self.downloaded()
            self.assertEqual(self.read(path), self.bytes)
            os.unlink(path)

    def test_a_mirror_without_ranges_or_with_another_file_is_begun_anew(self) -> None:
        files = os.path.join(self.folder, "files")
        os.makedirs(files)

        def other_size(place: Places) -> None:
            if place.headers["Range"]:
                return place.answer(206, b"zz", Content_Range="bytes 5-6/7")
            return self.serve(place)

        for place in (lambda place: place.answer(200, self.bytes), other_size):
            self.places["/file"] = place
            with open(os.path.join(files, f".{hashlib.sha256(self.bytes).hexdigest()}.part"), "wb") as file:
                file.write(self.bytes[:5])
            path = self.downloaded()
            self.assertEqual(self.read(path), self.bytes)
            os.unlink(path)

    def test_a_link_under_the_name_of_the_part_is_not_followed(self) -> None:
        self.places["/file"] = self.serve
        files, victim = os.path.join(self.folder, "files"), os.path.join(self.folder, "victim")
        os.makedirs(files)
        with open(victim, "wb") as file:
            file.write(b"mine")
        os.symlink(victim, os.path.join(files, f".{hashlib.sha256(self.bytes).hexdigest()}.part"))
        with self.assertRaises(bp.DownloadError):
            self.downloaded()
        self.assertEqual(self.read(victim), b"mine")

    def test_the_signed_name_leads_nowhere_else(self) -> None:
        digest = hashlib.sha256(self.bytes).hexdigest()
        self.places["/file"] = self.serve
        for name in ("../x", "/etc/x", "a/b", "a\\b", ".x", "..", "", "nul", "COM1.deb", "x.", "x:y", "x\n", "a" * 129):
            self.offer = {"artifact": {"file_name": name}}
            path = self.downloaded()
            self.assertEqual(path, os.path.join(self.folder, "files", f"{digest}.deb"), name)
        self.offer = {"artifact": {"file_name": "../x", "installer_type": "../../y"}}
        self.assertEqual(self.downloaded(), os.path.join(self.folder, "files", digest))

    def test_a_file_has_the_publishers_name_where_that_is_harmless_on_every_system(self) -> None:
        names = BOTH_CLIENTS["file_names"]
        for name in names["kept"]:
            self.assertEqual(bp._file_name({**ARTIFACT, "file_name": name}), name)
        for name in names["not_kept"]:
            self.assertEqual(bp._file_name({**ARTIFACT, "file_name": name}), f"{ARTIFACT['sha256']}.deb", ascii(name))

    def test_the_api_token_goes_to_the_service_alone(self) -> None:
        self.places.update({"/file": lambda place: place.answer(302, b"", Location="/there"), "/there": self.serve})
        self.offer = {"artifact": {"access": "token"}}
        with self.assertRaises(bp.DownloadError):
            self.downloaded()
        self.seen.clear()
        self.downloaded(api_token="bp_secret")
        sent = {path: headers.get("Authorization") for _, path, headers in self.seen}
        self.assertEqual(sent, {"/v1/decision": "Bearer bp_secret", "/file": "Bearer bp_secret", "/there": None})
        self.offer = {"artifact": {"access": "client_authenticates"}}
        with self.assertRaises(bp.DownloadError):
            self.downloaded(api_token="bp_secret")

    def test_nothing_is_downloaded_before_the_decision_is_remembered(self) -> None:
        self.places["/file"] = self.serve
        with mock.patch("os.replace", side_effect=OSError("full")), self.assertRaises(bp.StateError):
            self.downloaded()
        self.assertNotIn("/file", [path for _, path, _ in self.seen])


class CommandLine(OverHttp):
    def run_main(self, *arguments: str, nonces: bool = True) -> tuple[int, str, str]:
        value = {"v": 1, "version": 7, "epoch": 3, "expires": 2**40, "nonces": nonces}
        pinned = os.path.join(self.folder, "keyset.json")
        with open(pinned, "wb") as file:
            file.write(to_json({**value, "keys": [self.key.in_keyset(nbf=0, exp=2**40)]}))
        given = {
            "server": self.base,
            "keyset": pinned,
            "state": os.path.join(self.folder, "state"),
            "product": "acme",
            "version": "1.4.0",
            "platform": "linux",
            "arch": "x86_64",
        }
        options = [part for name, text in given.items() for part in (f"--{name}", text)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = bp.main([arguments[0], *options, *arguments[1:]])
        return code, out.getvalue(), err.getvalue()

    def test_check_and_download_print_what_was_verified(self) -> None:
        self.places["/file"] = self.serve
        code, out, err = self.run_main("check", "--allow-loopback-http")
        self.assertEqual((code, json.loads(out)["decision"]["action"], err), (0, "INSTALL", ""))
        files = os.path.join(self.folder, "files")
        code, out, _ = self.run_main("download", "--allow-loopback-http", "--into", files)
        self.assertEqual((code, self.read(json.loads(out)["path"])), (0, self.bytes))

    def test_errors_have_a_class_a_message_and_an_exit_code(self) -> None:
        self.offer = {"arch": "arm64"}
        code, out, err = self.run_main("check", "--allow-loopback-http")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^error: QuestionError: .+; .+\n$")
        self.places["/v1/decision"] = lambda place: place.answer(503, b"")
        self.assertEqual(self.run_main("check", "--allow-loopback-http")[0], 3)
        self.assertEqual(self.run_main("check")[0], 2)
        self.assertEqual(self.run_main("check", "--allow-loopback-http", "--ca-file", "/nowhere")[0], 2)
        self.assertEqual(self.run_main("check", "--allow-loopback-http", "--token-file", "/nowhere")[0], 2)


class Documentation(unittest.TestCase):
    def test_the_worked_example_of_the_document_is_what_the_code_computes(self) -> None:
        document = (ROOT / "docs" / "decision-format.md").read_text(encoding="utf-8")
        for name, text in worked_example.sections(VECTORS).items():
            with self.subTest(name):
                self.assertIn(text, document, "run worked_example.py and put its output into the document")


if __name__ == "__main__":
    unittest.main()
