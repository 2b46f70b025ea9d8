#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Decodes EDC streams; written from docs/edc-format.md, independent of the C code.

    edc_reference.py STREAM OUTPUT

Slow, and meant to stay readable: it is what a file can be read with when nothing else is left. It
needs NumPy, and the zstandard module (or Python 3.14) for strips of mode 1 only.
"""

import struct
import sys

import numpy as np


class Damaged(Exception):
    """The bytes are no valid stream."""


def check(condition, what):
    if not condition:
        raise Damaged(what)


# --- XXH3, 64 bits, seed 0 (of the xxHash specification) ------------------------------------------

MASK = (1 << 64) - 1
P32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
P64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
       0x27D4EB2F165667C5)
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")


def _u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def _u64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def _fold(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def _avalanche(h):
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & MASK
    return h ^ h >> 32


def _mix16(data, at, secret):
    return _fold(_u64(data, at) ^ _u64(SECRET, secret), _u64(data, at + 8) ^ _u64(SECRET, secret + 8))


def xxh3(data):
    n = len(data)
    if n <= 16:
        if n > 8:
            low = _u64(data, 0) ^ (_u64(SECRET, 24) ^ _u64(SECRET, 32))
            high = _u64(data, n - 8) ^ (_u64(SECRET, 40) ^ _u64(SECRET, 48))
            swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
            return _avalanche((n + swapped + high + _fold(low, high)) & MASK)
        if n >= 4:
            key = (_u32(data, n - 4) | _u32(data, 0) << 32) ^ (_u64(SECRET, 8) ^ _u64(SECRET, 16))
            h = key ^ (key << 49 | key >> 15) & MASK ^ (key << 24 | key >> 40) & MASK
            h = h * 0x9FB21C651E98DF25 & MASK
            h ^= (h >> 35) + n
            h = h * 0x9FB21C651E98DF25 & MASK
            return h ^ h >> 28
        if n > 0:
            key = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
            h = key ^ (_u32(SECRET, 0) ^ _u32(SECRET, 4))
        else:
            h = _u64(SECRET, 56) ^ _u64(SECRET, 64)
        h ^= h >> 33
        h = h * P64[1] & MASK
        h ^= h >> 29
        h = h * P64[2] & MASK
        return h ^ h >> 32
    acc = n * P64[0] & MASK
    if n <= 128:
        for i in range((n - 1) // 32, -1, -1):
            acc += _mix16(data, 16 * i, 32 * i) + _mix16(data, n - 16 * (i + 1), 32 * i + 16)
        return _avalanche(acc & MASK)
    if n <= 240:
        for i in range(8):
            acc += _mix16(data, 16 * i, 16 * i)
        acc = _avalanche(acc & MASK)
        for i in range(8, n // 16):
            acc += _mix16(data, 16 * i, 16 * (i - 8) + 3)
        return _avalanche((acc + _mix16(data, n - 16, 136 - 17)) & MASK)
    lanes = np.array([P32[2], P64[0], P64[1], P64[2], P64[3], P32[1], P64[4], P32[0]], np.uint64)
    secret = np.frombuffer(SECRET, np.uint8)
    keys = np.stack([secret[8 * i:8 * i + 64].copy().view("<u8") for i in range(16)])
    last_key = secret[192 - 64 - 7:192 - 7].copy().view("<u8")
    scramble_key = secret[128:192].copy().view("<u8")
    swap = np.arange(8) ^ 1
    low32, high32 = np.uint64(0xFFFFFFFF), np.uint64(32)

    def products(stripes, key):
        mixed = stripes ^ key
        return (mixed & low32) * (mixed >> high32) + stripes[..., swap]

    stripes = (n - 1) // 64
    whole = np.frombuffer(data[:stripes * 64], "<u8").reshape(stripes, 8)
    for block in range(0, stripes, 16):
        part = whole[block:block + 16]
        lanes = lanes + products(part, keys[:len(part)]).sum(0, dtype=np.uint64)
        if len(part) == 16 and block + 16 <= (n - 1) // 1024 * 16:
            lanes = (lanes ^ lanes >> np.uint64(47) ^ scramble_key) * np.uint64(P32[0])
    lanes = lanes + products(np.frombuffer(data[n - 64:], "<u8"), last_key)
    words = [int(x) for x in lanes]
    result = n * P64[0]
    for i in range(4):
        result += _fold(words[2 * i] ^ _u64(SECRET, 11 + 16 * i),
                        words[2 * i + 1] ^ _u64(SECRET, 11 + 16 * i + 8))
    return _avalanche(result & MASK)


# --- section 2: the bits of the model --------------------------------------------------------------


class Number:
    def __init__(self):
        self.length = [32768] * 33
        self.second = [32768] * 33


class ModelBits:
    def __init__(self, data):
        self.data, self.at = data, 4
        check(len(data) >= 4, "the model is too short")
        self.range, self.code = 0xFFFFFFFF, int.from_bytes(data[:4], "big")

    def bit(self, models, which):
        bound = (self.range >> 16) * models[which]
        if self.code < bound:
            bit = 0
            self.range = bound
            models[which] += (65536 - models[which]) >> 4
        else:
            bit = 1
            self.code -= bound
            self.range -= bound
            models[which] -= models[which] >> 4
        while self.range < 1 << 24:
            check(self.at < len(self.data), "the model is cut short")
            self.range <<= 8
            self.code = self.code << 8 | self.data[self.at]
            self.at += 1
        return bit

    def raw(self, n):
        value = 0
        for _ in range(n):
            value = value << 1 | self.bit([32768], 0)
        return value

    def number(self, m):
        length = 0
        while length < 32 and self.bit(m.length, length):
            length += 1
        if length < 2:
            return length
        top = 2 + self.bit(m.second, length)
        return (top << (length - 2)) + self.raw(length - 2)

    def signed(self, m):
        n = self.number(m)
        return n // 2 if n % 2 == 0 else -(n + 1) // 2


# --- sections 3 and 4: model and tables ------------------------------------------------------------

SYMBOLS, CLASSES = 76, 46
CONTEXTS = (1, 32, 256)


def read_table(bits, top_model, count_model, trees):
    top, count = bits.number(top_model), bits.number(count_model)
    check(top < count <= SYMBOLS, "a table is too long")
    frequency = [0] * SYMBOLS
    length = [0] * SYMBOLS
    length[top] = 12
    for s in range(count):
        if s == top:
            continue
        tree = trees[13 if s < 2 else (length[s - 1] + length[s - 2] + 1) // 2]
        node = 1
        for _ in range(4):
            node = 2 * node + bits.bit(tree, node)
        length[s] = node - 16
        check(length[s] <= 12, "a frequency is too high")
        if length[s]:
            j = min(length[s] - 1, 4)
            frequency[s] = (1 << (length[s] - 1)) + (bits.raw(j) << (length[s] - 1 - j))
    frequency[top] = 4096 - sum(frequency)
    check(1 <= frequency[top] <= 4095, "frequencies do not add up")
    return frequency


class Model:
    def __init__(self, header, data):
        bits = ModelBits(data)
        self.linear, self.context = bits.raw(1), bits.raw(2)
        check(self.context <= 2, "unknown context")
        self.unsigned = not self.linear and not header.signed
        self.intensity, self.sets = [], []
        if self.linear:
            sets, levels, coefficients = bits.raw(4), Number(), Number()
            check(1 <= sets <= 8, "too many sets")
            self.intensity = [bits.number(levels) for _ in range(sets - 1)]
            self.sets = np.array([[[bits.signed(coefficients) for _ in range(7)] for _ in range(2)]
                                  for _ in range(sets)])
            check(np.abs(self.sets).max() <= 32767, "a coefficient is too high")
        self.means, self.classes = {}, {}
        described, means, classes = [32768], Number(), [Number() for _ in range(3)]
        across = -(-header.width // 64)
        for s in range(header.strips):
            if not bits.bit(described, 0):
                continue
            last, row = 0, []
            for _ in range(across if self.linear else 0):
                last = (last + bits.signed(means)) % 65536
                row.append(last)
            self.means[s] = np.array(row)
            down = -(-header.strip_place(s)[2] // 8)
            tiles = np.zeros((down, across), int)
            for y in range(down if self.context != 2 else 0):
                for x in range(across):
                    west = tiles[y, x - 1] if x else tiles[y - 1, x] if y else 12
                    north = tiles[y - 1, x] if y else west
                    spread = abs(west - north)
                    near = classes[0 if spread == 0 else 1 if spread <= 2 else 2]
                    tiles[y, x] = (west + north + 1) // 2 + bits.signed(near)
                    check(0 <= tiles[y, x] < CLASSES, "unknown class")
            self.classes[s] = tiles
        count = bits.raw(7)
        check(1 <= count <= 96, "too many tables")
        top, number, trees = Number(), Number(), [[32768] * 16 for _ in range(14)]
        self.tables = np.array([read_table(bits, top, number, trees) for _ in range(count)])
        self.map = np.zeros((CLASSES, 2, CONTEXTS[self.context]), int)
        last, models = 0, (Number(), Number())
        for c in sorted({int(c) for tiles in self.classes.values() for c in tiles.flat}):
            for phase in range(2):
                for i in range(CONTEXTS[self.context]):
                    last += bits.signed(models[phase])
                    check(0 <= last < count, "unknown table")
                    self.map[c, phase, i] = last
        check(bits.at == len(data), "bytes behind the model")
        self.start = np.cumsum(self.tables, 1) - self.tables
        self.symbol = np.array([np.repeat(np.arange(SYMBOLS), t) for t in self.tables])


# --- sections 5 to 9: coded strips -----------------------------------------------------------------


def lane(a):
    """A signed lane of any numbers."""
    return (a + 32768) % 65536 - 32768


def shifted(half, by):
    """half[i + by] for all i, its ends repeated."""
    return half[np.clip(np.arange(len(half)) + by, 0, len(half) - 1)]


def widened(half, n):
    """At least n lanes, the last one repeated."""
    return half[np.minimum(np.arange(n), len(half) - 1)]


def levels(u, thresholds):
    return sum((u > t).astype(int) for t in thresholds)


class Strip:
    """Decodes one strip; rows are (phase 0, phase 1) pairs of NumPy arrays."""

    def __init__(self, header, model, number, data):
        self.header, self.model = header, model
        at = 4 if header.item_size == 4 else 0
        check(len(data) >= at + 264, "a strip is too short")
        self.offset = _u32(data, 0) if at else 0
        words, planes = struct.unpack_from("<II", data, at)
        at += 8
        check(words % 2 == 0 and words + planes <= len(data) - at - 256, "a strip is too short")
        self.state = np.frombuffer(data, "<u4", 64, at).astype(np.uint64)
        at += 256
        self.words = np.frombuffer(data, "<u2", words // 2, at).astype(np.uint64)
        self.words_at = 0
        self.planes = data[at + words:at + words + planes]
        self.planes_at = 0
        self.extra = data[at + words + planes:]
        self.extra_at = 0  # in bits
        self.tiles = model.classes[number]
        self.means = model.means[number]
        self.rows = header.strip_place(number)[2]
        self.half = ((header.width + 1) // 2, header.width // 2)

    def take_extra(self, n):
        check(self.extra_at + n <= 8 * len(self.extra), "extra bits are missing")
        value = 0
        for i in range(n):
            value |= (self.extra[self.extra_at >> 3] >> (self.extra_at & 7) & 1) << i
            self.extra_at += 1
        return value

    def choose_sets(self, above):
        values = (above ^ 0x8000 if self.header.signed else above).astype(np.int64)
        across = len(self.means)
        sums = widened(values, 32 * across).reshape(across, 32).sum(1)
        return sum((sums >= t).astype(int) for t in self.model.intensity) + np.zeros(across, int)

    def predict(self, phase, rows, sets):
        n = self.half[phase]
        (e, _), (e1, o1), (e2, o2), (e3, o3) = rows
        # Half rows may differ by one lane: all are widened to n + 2 first.
        e, e1, o1, e2, o2, e3, o3 = (widened(h, n + 2) for h in (e, e1, o1, e2, o2, e3, o3))
        if phase == 0:
            b = e1
            pairs = [(shifted(o1, -1), o1), (shifted(e1, -1), shifted(e1, 1)), (e2,),
                     (shifted(o2, -1), o2), (e3,), (shifted(o1, -2), shifted(o1, 1))]
        else:
            b = e + (lane(shifted(e, 1) - e) >> 1)
            pairs = [(o1,), (e1, shifted(e1, 1)), (o2,), (shifted(o1, -1), shifted(o1, 1)), (o3,),
                     (e2, shifted(e2, 1))]
        taps = [np.clip(lane(sum(x - b for x in p)), -4095, 4095)[:n] for p in pairs]
        c = self.model.sets[sets, phase][np.arange(n) // 32].T
        s = c[6]
        for j in range(6):
            s = np.clip(s + ((8 * taps[j] * c[j] + (1 << 14)) >> 15), -32768, 32767)
        return (b[:n] + (s >> 3)) % 65536, (s >> 1) % 4

    def contexts(self, phase, activity, fraction, classes):
        n = self.half[phase]
        if self.model.context == 0:
            return np.zeros(n, int)
        (e, _), (e1, o1), (e2, o2) = ([widened(h, n + 2) for h in row] for row in activity)
        if self.model.context == 1:
            if phase == 0:
                u = (4 * e1 + 2 * (shifted(o1, -1) + o1 + e2)
                     + shifted(e1, -1) + shifted(e1, 1) + shifted(o2, -1) + o2)
            else:
                u = (4 * o1 + 2 * (e + shifted(e, 1) + o2)
                     + e1 + shifted(e1, 1) + e2 + shifted(e2, 1))
            c = classes[np.arange(n) // 32]
            t = np.array([64, 81, 102])[c % 3] << c // 3
            level = levels(u[:n], [np.minimum(32767, t * 14 * m >> 13) for m in (3, 5, 6, 8, 10, 13, 18)])
            return 4 * level + fraction
        if phase == 0:
            first = levels(shifted(o1, -1) + o1 + 2 * e1, (0, 1, 4, 10, 24, 56, 128))
            second, third = levels(e1, (0, 1, 3, 7, 15, 31, 63)), levels(e2, (0, 5, 25))
        else:
            first = levels(e + shifted(e, 1), (0, 1, 3, 8, 20, 44, 100))
            second = levels(o1, (0, 1, 3, 7, 15, 31, 63))
            third = levels(e1 + shifted(e1, 1) + 2 * o1, (2, 16, 80))
        return (32 * first + 4 * second + third)[:n]

    def symbols(self, tables):
        out = np.empty(len(tables), int)
        for at in range(0, len(tables), 64):
            table = tables[at:at + 64]
            x = self.state[:len(table)]
            slot = (x % 4096).astype(int)
            s = self.model.symbol[table, slot]
            x = (self.model.tables[table, s].astype(np.uint64) * (x >> np.uint64(12))
                 + (slot - self.model.start[table, s]).astype(np.uint64))
            low = np.flatnonzero(x < 1 << 16)
            check(self.words_at + len(low) <= len(self.words), "words are missing")
            x[low] = x[low] << np.uint64(16) | self.words[self.words_at:self.words_at + len(low)]
            self.words_at += len(low)
            self.state[:len(table)] = x
            out[at:at + 64] = s
        return out

    def residuals(self, phase, symbols, classes):
        n = self.half[phase]
        z = symbols.copy()
        for i in np.flatnonzero(symbols >= 48):
            k = int(symbols[i]) - 48
            bits = 2 + k // 2
            z[i] = ((2 + k % 2) << (bits - 1)) + self.take_extra(bits - 1) + 44
        tiles = -(-n // 32)
        q = np.where(classes < 21, 0, (classes - 18) // 3)[:tiles]
        low = np.zeros(32 * tiles, int)
        for t in range(tiles):
            for j in range(q[t]):
                check(self.planes_at + 4 <= len(self.planes), "planes are missing")
                word = _u32(self.planes, self.planes_at)
                self.planes_at += 4
                low[32 * t:32 * t + 32] |= (word >> np.arange(32) & 1) << j
        q = np.repeat(q, 32)[:n]
        if self.model.unsigned:
            return (z << q) + low[:n]
        z = np.where(z % 2 == 0, z // 2, -(z + 1) // 2)
        return (z << q) + low[:n] - (1 << q) // 2

    def decode(self):
        """The strip's lanes, rows x width."""
        out = np.empty((self.rows, self.header.width), np.int64)
        blank = tuple(np.zeros(max(n, 1), np.int64) for n in self.half)
        above = blank
        if self.model.linear:
            above = tuple(self.means[np.arange(n) // 32] if n else self.means[:1] for n in self.half)
        rows, activity = [above] * 3, [blank] * 2
        sets = None
        for y in range(self.rows):
            classes = self.tiles[y // 8]
            if y % 8 == 0 and self.model.linear:
                sets = self.choose_sets(rows[0][0])
            current, active = [blank[0], blank[1]], [blank[0], blank[1]]
            for phase in range(2):
                n = self.half[phase]
                if n == 0:
                    current[1] = current[0][:1]
                    continue
                prediction, fraction = np.zeros(n, int), np.zeros(n, int)
                if self.model.linear:
                    prediction, fraction = self.predict(phase, [current, *rows], sets)
                context = self.contexts(phase, [active, *activity], fraction, classes)
                table = self.model.map[classes[np.arange(n) // 32], phase, context]
                r = self.residuals(phase, self.symbols(table), classes)
                current[phase] = (prediction + r) % 65536
                r = r % 65536
                active[phase] = np.minimum(r if self.model.unsigned else np.abs(lane(r)), 1023)
                out[y, phase::2] = current[phase]
            rows, activity = [current, *rows[:2]], [active, activity[0]]
        check((self.state == 1 << 16).all() and self.words_at == len(self.words)
              and self.planes_at == len(self.planes)
              and (self.extra_at + 7) // 8 == len(self.extra), "a strip does not end where it should")
        return out


# --- section 1: the container ----------------------------------------------------------------------


class Header:
    def __init__(self, data):
        check(len(data) >= 40 and data[:4] == b"EDC\x1a", "no EDC stream")
        check(data[4] == 1, f"version {data[4]} is unknown")
        self.item_size, self.flags = data[5], data[6]
        check(data[7] == 0 and self.flags < 32, "unknown flags")
        (self.width, self.height, self.planes, self.strip_rows, self.raw_bytes, self.model_bytes,
         self.strips) = struct.unpack_from("<IIIIQII", data, 8)
        self.signed, self.big = bool(self.flags & 1), bool(self.flags & 2)
        self.interleaved, self.plain = bool(self.flags & 4), bool(self.flags & 8)
        check(bool(self.flags & 16) == (self.model_bytes > 0), "inconsistent header")
        check(self.strip_rows > 0, "inconsistent header")
        if self.plain:
            check(self.flags == 8 and self.width > 0, "inconsistent header")
            check(self.strips == -(-self.raw_bytes // self.strip_rows), "inconsistent header")
        else:
            check(self.item_size in (1, 2, 4) and self.strip_rows % 8 == 0 and
                  self.strip_rows < 1 << 31, "inconsistent header")
            check(0 < self.width * self.height < 1 << 31, "inconsistent header")
            check(self.raw_bytes == self.width * self.height * self.planes * self.item_size > 0,
                  "inconsistent header")
            self.per_plane = -(-self.height // self.strip_rows)
            check(self.strips == self.per_plane * self.planes, "inconsistent header")

    def strip_place(self, s):
        """Plane, first row and rows of strip s."""
        first = s % self.per_plane * self.strip_rows
        return s // self.per_plane, first, min(self.strip_rows, self.height - first)


def unshuffle(data, size):
    items = len(data) // size
    body = np.frombuffer(data[:items * size], np.uint8).reshape(size, items).T
    return body.tobytes() + data[items * size:]


def decompress(data, size):
    try:
        from compression import zstd  # Python 3.14
        return zstd.decompress(data)
    except ImportError:
        import zstandard
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)


def decode(data):
    """The raw bytes of a stream; Damaged if it is not valid."""
    data = bytes(data)
    h = Header(data)
    model_at = 40 + 12 * h.strips
    check(model_at + h.model_bytes <= len(data), "the stream is cut short")
    model = Model(h, data[model_at:model_at + h.model_bytes]) if h.model_bytes else None
    at = model_at + h.model_bytes
    chunk = bytearray(h.raw_bytes)
    elements = None
    if not h.plain:
        shape = (h.height, h.width, h.planes) if h.interleaved else (h.planes, h.height, h.width)
        elements = np.frombuffer(chunk, np.uint8).reshape(*shape, h.item_size)
        if h.interleaved:
            elements = np.moveaxis(elements, 2, 0)
    for s in range(h.strips):
        word, checksum = struct.unpack_from("<IQ", data, 40 + 12 * s)
        mode, size = word >> 30, word & (1 << 30) - 1
        check(mode <= 2 and size <= len(data) - at, "the table of strips is damaged")
        body = data[at:at + size]
        at += size
        if h.plain:
            raw_size = min(h.strip_rows, h.raw_bytes - s * h.strip_rows)
        else:
            plane, first, rows = h.strip_place(s)
            raw_size = rows * h.width * h.item_size
        if mode == 0:
            raw = body
        elif mode == 1:
            raw = unshuffle(decompress(body, raw_size), h.width if h.plain else h.item_size)
        else:
            check(model is not None and s in model.classes, "a strip has no model")
            strip = Strip(h, model, s, body)
            lanes = strip.decode()
            if h.item_size == 4:
                lanes = (lanes + strip.offset) % (1 << 32)
            kind = (">" if h.big else "<") + f"u{h.item_size}"
            raw = (lanes % (1 << 8 * h.item_size)).astype(kind).tobytes()
        check(len(raw) == raw_size, "a strip has the wrong size")
        check(xxh3(raw) == checksum, "the checksum differs")
        if h.plain:
            chunk[s * h.strip_rows:s * h.strip_rows + raw_size] = raw
        else:
            elements[plane, first:first + rows] = np.frombuffer(raw, np.uint8).reshape(
                rows, h.width, h.item_size)
    check(at == len(data), "bytes behind the last strip")
    return bytes(chunk)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    try:
        raw = decode(data)
    except Damaged as e:
        sys.exit(f"edc_reference.py: {sys.argv[1]}: {e}")
    with open(sys.argv[2], "wb") as f:
        f.write(raw)


if __name__ == "__main__":
    main()
