#!/usr/bin/env python3
"""Prints one of everything that the store seals, made from docs/store-format.md alone by PyPI `cryptography`.

One thing a line: its name, then its bytes in hex. `format_v1.txt` holds the output; a line changes only with a new format. What stands
here is fixed input, nobody's keys.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def u(width: int, number: int) -> bytes:
    return number.to_bytes(width, "big")


def join(parts: list[bytes]) -> bytes:
    return b"".join(u(8, len(part)) + part for part in parts)


def mac(key: bytes, parts: list[bytes]) -> bytes:
    return hmac.digest(key, join(parts), "sha256")


def expand(seed: bytes, parts: list[bytes], size: int) -> bytes:
    out, block, info = b"", b"", join(parts)
    while len(out) < size:
        block = hmac.digest(seed, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:size]


def wrap(key: bytes, headers: list[bytes], plaintext: bytes) -> bytes:
    return AESSIV(key).encrypt(plaintext, headers)


def seal(key: bytes, headers: list[bytes], plaintext: bytes) -> bytes:
    nonce = hashlib.sha256(b"nonce" + headers[0]).digest()[:16]
    return nonce + wrap(key, [*headers, nonce], plaintext)


def show(name: str, value: bytes) -> None:
    print(name, value.hex())


ROOT = bytes(range(0x20, 0x40))
STORE = bytes([0x51] * 16)
NAMESPACE = bytes([0x52] * 16)
SECRET = bytes([0x53] * 16)
KEY = bytes([0x54] * 16)
MATERIAL = bytes(range(0x40, 0x80))
SEED = bytes(range(0x80, 0xA0))


def root(label: str, size: int) -> bytes:
    return expand(ROOT, [b"sr/root/1", label.encode(), STORE], size)


def records() -> None:
    metadata, audit, backup = root("metadata", 64), root("audit", 64), root("backup", 64)
    plaintext = b"what is sealed"
    show("namespace", seal(metadata, [b"sr/namespace/1", STORE, NAMESPACE], plaintext))
    show("head", seal(metadata, [b"sr/head/1", STORE, SECRET, u(8, 7)], plaintext))
    show("key", seal(metadata, [b"sr/key/1", STORE, NAMESPACE, KEY], plaintext))
    show("meta", seal(metadata, [b"sr/meta/1", STORE, b"state"], plaintext))
    show("cursor", seal(metadata, [b"sr/cursor/1", STORE, b"events"], plaintext))
    index = mac(root("index", 32), [b"policy", b"uid-1"])
    show("policy", seal(metadata, [b"sr/policy/1", STORE, index], plaintext))
    index = mac(root("index", 32), [b"declaration", b"uid-1"])
    show("declaration", seal(metadata, [b"sr/declaration/1", STORE, index], plaintext))
    mark = mac(root("index", 32), [b"mark", b"uid-1", hashlib.sha256(b"what it declares").digest()])
    index = mac(root("index", 32), [b"attestation", b"uid-1", b"deleted", mark])
    show("attestation", seal(metadata, [b"sr/attestation/1", STORE, index], plaintext))
    index = mac(root("index", 32), [b"product", b"aigw"])
    show("product", seal(metadata, [b"sr/product/1", STORE, index], plaintext))
    place = [b"\x01", u(4, 3), u(8, 9), bytes([0x55] * 32)]
    show("audit", seal(audit, [b"sr/audit/1", STORE, *place], plaintext))
    place = [bytes([0x56] * 16), u(8, 2), b"\x01"]
    show("backup", seal(backup, [b"sr/backup/1", STORE, *place], plaintext))


def value() -> None:
    place = [STORE, NAMESPACE, KEY, u(4, 2)]
    show("material", wrap(root("wrap", 64), [b"sr/cmk/1", *place], MATERIAL))
    place = [STORE, NAMESPACE, SECRET, u(4, 5), KEY, u(4, 2)]
    show("data-key", wrap(MATERIAL, [b"sr/dek/1", *place], SEED))
    headers = [b"sr/value/1", STORE, NAMESPACE, SECRET, u(4, 5), b"v-1", b"\x01"]
    derived = expand(SEED, headers, 96)
    show("commitment", derived[64:])
    show("value", seal(derived[:64], headers, b"what is sealed"))


def macs() -> None:
    show("index", mac(root("index", 32), [b"secret", NAMESPACE, b"db/password"]))
    terms = [mac(root("state", 32), [bytes([table]), b"key", b"value"]) for table in (1, 2, 3)]
    total = 0
    for term in terms:
        total += sum(int.from_bytes(term[at : at + 8], "big") << (8 * at) for at in range(0, 32, 8))
    digest = b"".join(u(8, total >> (64 * word) & (2**64 - 1)) for word in range(4))
    show("state-digest", digest)
    show("anchor", mac(root("anchor", 32), [STORE, u(8, 42), digest]))
    signing = Ed25519PrivateKey.from_private_bytes(root("audit-signing", 32))
    show("public-key", signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    show("signature", signing.sign(b"checkpoint"))


def slot(kind: int, label: bytes, cost: tuple[int, int, int], seed: bytes) -> bytes:
    ident, salt = bytes([kind] * 8), bytes([0x60 + kind] * 32)
    costs = b"".join(u(4, part) for part in cost)
    if kind == 3:
        memory, passes, lanes = cost
        kdf = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
        seed = kdf.derive(seed)
    headers = [b"sr/slot/1", STORE, ident, bytes([kind]), label, costs, salt]
    wrapped = wrap(expand(seed, headers, 64), headers, ROOT)
    return ident + bytes([kind]) + u(4, len(label)) + label + costs + salt + wrapped


def seal_file() -> None:
    none = (0, 0, 0)
    slots = [
        slot(1, b"file", none, bytes([0x71] * 32)),
        slot(2, b"", none, bytes([0x72] * 32)),
        slot(3, "für Notfälle".encode(), (64, 2, 2), b"correct horse battery"),
        slot(4, b"paper", none, bytes([0x74] * 32)),
    ]
    check = expand(ROOT, [b"sr/key-check/1", STORE], 32)
    body = b"SRSEAL\0\x01" + STORE + check + u(4, len(slots)) + b"".join(slots)
    whole = body + hashlib.sha256(body).digest()
    show("seal-file", whole)
    show("seal-file-mac", mac(root("seal-file", 32), [whole]))


records()
value()
macs()
seal_file()
