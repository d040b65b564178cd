"""Our own AES: the vectors of the standards, and many blocks at once."""

from __future__ import annotations

from random import Random

from netpolicy.flows.aes_own import BOX, OwnAes, encrypt


def test_the_examples_of_the_standard():
    key = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    text = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert encrypt(key, text).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"  # FIPS 197, C.1
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    text = bytes.fromhex("3243f6a8885a308d313198a2e0370734")
    assert encrypt(key, text).hex() == "3925841d02dc09fbdc118597196a0b32"  # FIPS 197, B


def test_blocks_at_once_are_as_blocks_one_by_one():
    random = Random(1)
    key, blocks = random.randbytes(16), [random.randbytes(16) for _ in range(77)]
    assert encrypt(key, b"".join(blocks)) == b"".join(encrypt(key, block) for block in blocks)


def test_the_table_is_a_permutation_with_the_known_corners():
    assert sorted(BOX) == list(range(256))
    assert (BOX[0x00], BOX[0x53], BOX[0xFF]) == (0x63, 0xED, 0x16)


def test_an_example_of_gcm_with_header_and_a_part_of_a_block():
    """Test case 4 of the specification of GCM (McGrew, Viega)."""
    key, nonce = bytes.fromhex("feffe9928665731c6d6a8f9467308308"), bytes.fromhex("cafebabefacedbaddecaf888")
    header = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    text = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sealed = bytes.fromhex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        "5bc94fbc3221a5db94fae95ae7121a47"
    )
    assert OwnAes().open(key, nonce, header, sealed) == text
