"""Puts TLS before a stand-in for AWS, with a table, a signing key and a first token: what a cold start meets.

Usage: aws_over_tls.py UPSTREAM FOLDER. Prints one line of JSON and runs until its standard input ends. The certificates
are thrown away with the folder; they are of the kind and number that AWS's endpoints send (RSA of 2048 bits, one
certificate in between).
"""

import asyncio
import datetime
import hashlib
import ipaddress
import json
import ssl
import sys
import threading
import os
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TABLE = "big-picture"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NOW = datetime.datetime.now(datetime.timezone.utc)


def certificate(name, key, issuer, issuer_key, authority):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def write_certificates(folder):
    names = [
        x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])
        for text in ("throw-away root", "throw-away in between", "127.0.0.1")
    ]
    keys = [rsa.generate_private_key(65537, 2048) for _ in names]
    root = certificate(names[0], keys[0], names[0], keys[0], True)
    between = certificate(names[1], keys[1], names[0], keys[0], True)
    leaf = certificate(names[2], keys[2], names[1], keys[1], False)
    pem = [each.public_bytes(serialization.Encoding.PEM) for each in (root, between, leaf)]
    private = keys[2].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(pem[0])
    (folder / "server.pem").write_bytes(private + pem[2] + pem[1])


def base62(data, digits):
    number, text = int.from_bytes(data, "big"), ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = ALPHABET[digit] + text
    return text


def first_token():
    ident = "01h455vb4pex5vsknk084sn02q"
    start = f"bp_{ident}_{base62(os.urandom(32), 43)}"
    text = f"{start}_{base62(hashlib.sha256(start.encode()).digest(), 6)}"
    return {"token": text, "token_id": f"tok_{ident}", "hash": hashlib.sha256(text.encode()).hexdigest()}


def prepare(upstream):
    session = botocore.session.get_session()
    names = {"region_name": "eu-central-1", "endpoint_url": upstream}
    names |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    keys = [("partition", "HASH"), ("sort", "RANGE")]
    session.create_client("dynamodb", **names).create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )
    key = session.create_client("kms", **names).create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    return {"table": TABLE, "key_id": key["KeyMetadata"]["Arn"]}


async def relay(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def serve(upstream, folder, found):
    host = urlsplit(upstream)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")

    async def accept(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection(host.hostname, host.port)
        await asyncio.gather(relay(reader, inner_writer), relay(inner_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    found["port"] = server.sockets[0].getsockname()[1]
    print(json.dumps(found), flush=True)
    await server.serve_forever()


def end_with_input():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    upstream, folder = sys.argv[1], Path(sys.argv[2])
    threading.Thread(target=end_with_input, daemon=True).start()
    write_certificates(folder)
    asyncio.run(serve(upstream, folder, prepare(upstream) | first_token()))


main()
