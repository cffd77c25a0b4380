#!/usr/bin/env python3
"""Prints AES-SIV cases with lists of headers, made by OpenSSL through PyPI `cryptography`.

One case a line, four columns separated by tabs, all in hex: the 64-byte key, the headers separated by commas (`-` for no
header at all), the plaintext, and what sealing gives (synthetic IV, then ciphertext). The same seed gives the same cases.
"""

import argparse
import random

from cryptography.hazmat.primitives.ciphers.aead import AESSIV


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--cases", type=int, required=True)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    # Lengths around the block of 16 bytes, where the last block is treated in another way.
    lengths = [0, 1, 7, 15, 16, 17, 31, 32, 33]
    for _ in range(options.cases):
        key = draw.randbytes(64)
        headers = [draw.randbytes(draw.choice(lengths)) for _ in range(draw.choice([0, 1, 1, 2, 3, 4, 5, 6, 7, 8]))]
        plaintext = draw.randbytes(draw.choice(lengths[1:] + [64]))
        sealed = AESSIV(key).encrypt(plaintext, headers)
        listed = ",".join(header.hex() for header in headers) if headers else "-"
        print(key.hex(), listed, plaintext.hex(), sealed.hex(), sep="\t")


if __name__ == "__main__":
    main()
