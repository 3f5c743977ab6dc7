"""Checks one block of a blob against the blob's name: docs/protocol.md, section 5.

The `blake3` package hashes whole inputs and has no way to hash a part of the
tree, so the compression function stands here (BLAKE3 paper, section 2; test it
by `python block_proof.py`). A block takes some 30 ms.
"""

import struct

BLOCK, CHUNK, PAIR = 16_384, 1_024, 64
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF
IV = (
    *(0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A),
    *(0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19),
)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


class DoesNotVerify(Exception):
    """These are not the bytes of that block."""


class Blob:
    """A blob of which the name and the length are known, and those pairs of
    its tree that have come and were found right."""

    def __init__(self, name, length):
        self.name, self.length = name, length
        self.blocks = -(-length // BLOCK)
        self._pairs = {}

    def verify(self, number, proof, data):
        """Returns if `data` is the block of this number, and raises if not."""
        if number >= self.blocks or len(data) != min(BLOCK, self.length - number * BLOCK):
            raise DoesNotVerify(f"block {number} does not verify: it has {len(data)} bytes")
        above = list(self._nodes_above(number))
        # The pairs that were left out are the upper ones.
        left_out = len(above) - len(proof) // PAIR
        if left_out < 0 or len(proof) % PAIR:
            raise DoesNotVerify(f"block {number} does not verify: a proof of {len(proof)} bytes")
        expected = self.name
        for depth, (node, is_right) in enumerate(above):
            at = (depth - left_out) * PAIR
            pair = proof[at : at + PAIR] if at >= 0 else self._pairs.get(node, b"")
            if parent(pair, ROOT if depth == 0 else 0) != expected:
                raise DoesNotVerify(f"block {number} does not verify: wrong pair at depth {depth}")
            self._pairs[node] = pair
            expected = pair[32:] if is_right else pair[:32]
        if chaining_value(data, number * BLOCK // CHUNK, 0 if above else ROOT) != expected:
            raise DoesNotVerify(f"block {number} does not verify: other bytes")

    def _nodes_above(self, number):
        """The nodes on the way down to a block, and whether it lies in the
        right half of each."""
        start, end = 0, self.blocks
        while end - start > 1:
            middle = start + left_half(end - start)
            yield (start, end), number >= middle
            start, end = (middle, end) if number >= middle else (start, middle)


def left_half(count):
    """The largest power of two that leaves at least one."""
    return 1 << ((count - 1).bit_length() - 1)


def chaining_value(data, counter, root=0):
    """The hash of a subtree, the first chunk of which has the number `counter`."""
    if len(data) > CHUNK:
        half = left_half(-(-len(data) // CHUNK))
        left = chaining_value(data[: half * CHUNK], counter)
        return parent(left + chaining_value(data[half * CHUNK :], counter + half), root)
    value, flags = IV, CHUNK_START
    last = max(len(data) - 1, 0) // 64 * 64
    for at in range(0, last + 1, 64):
        flags |= (CHUNK_END | root) if at == last else 0
        value = compress(value, data[at : at + 64], counter, flags)
        flags = 0
    return struct.pack("<8I", *value)


def parent(pair, root=0):
    """The hash of a node over two others."""
    return struct.pack("<8I", *compress(IV, pair, 0, PARENT | root))


def compress(value, block, counter, flags):
    """The compression function on up to 64 bytes: the first half of its output."""
    words = struct.unpack("<16I", block.ljust(64, b"\0"))
    v = [*value, *IV[:4], counter & MASK, counter >> 32, len(block), flags]
    for _ in range(7):
        for step, (a, b, c, d) in enumerate(COLUMNS + DIAGONALS):
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            for word, by_d, by_b in ((words[2 * step], 16, 12), (words[2 * step + 1], 8, 7)):
                va = va + vb + word & MASK
                vd = rotate(vd ^ va, by_d)
                vc = vc + vd & MASK
                vb = rotate(vb ^ vc, by_b)
            v[a], v[b], v[c], v[d] = va, vb, vc, vd
        words = [words[at] for at in PERMUTATION]
    return tuple(v[at] ^ v[at + 8] for at in range(8))


def rotate(word, by):
    return (word >> by | word << 32 - by) & MASK


def self_test():
    """Whole inputs of all shapes hash as the library says, and so does a tree of
    blocks, put together by hand."""
    from blake3 import blake3

    for length in (0, 1, 64, 65, 1_024, 1_025, 5_000, BLOCK, 3 * BLOCK + 77):
        data = bytes(at % 251 for at in range(length))
        assert chaining_value(data, 0, ROOT) == blake3(data).digest(), length
    blocks = [data[at : at + BLOCK] for at in range(0, length, BLOCK)]
    values = [chaining_value(block, at * 16) for at, block in enumerate(blocks)]
    lower = values[2] + values[3]
    top = parent(values[0] + values[1]) + parent(lower)
    blob = Blob(blake3(data).digest(), length)
    blob.verify(2, top + lower, blocks[2])
    blob.verify(3, b"", blocks[3])
    for number, proof in ((3, b""), (0, lower), (0, top[:32])):
        try:
            blob.verify(number, proof, blocks[0][: len(blocks[number])])
        except DoesNotVerify:
            continue
        raise AssertionError((number, len(proof)))


if __name__ == "__main__":
    self_test()
    print("as the blake3 package has it")
