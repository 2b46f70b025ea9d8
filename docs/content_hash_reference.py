#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The content hash of HDF5 files; written from docs/content-hash.md, independent of the C code.

    content_hash_reference.py FILE...

It needs h5py, NumPy and xxhash (python3-xxhash), a 64-bit machine, and the filters of the file where
h5py finds them. It reads each dataset whole, and is meant to stay readable.
"""

import ctypes
import json
import struct
import sys

import h5py
import numpy as np
import xxhash
from h5py import h5a, h5d, h5g, h5i, h5l, h5o, h5r, h5s, h5t

NAME = b"emdtools-content-1"
NO_OBJECT = 2**64 - 1
DIGIT = 4096
WORD_AXIS = 32
MOST_BLOCKS = 65536


class NoHash(Exception):
    """The file has something that the definition, or this reference, leaves out."""


def number(value):
    return struct.pack("<Q", value)


def numbers(values):
    return b"".join(number(int(v)) for v in values)


def string(data):
    return number(len(data)) + data


def digest(data):
    return xxhash.xxh3_128_digest(data)


# --- what h5py does not give as it is -------------------------------------------------------------

def library():
    """The HDF5 that h5py has loaded."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        path = next(line.split()[-1] for line in maps if "/libhdf5" in line and "_hl" not in line)
    lib = ctypes.CDLL(path)
    ident, buffer, size = ctypes.c_int64, ctypes.c_void_p, ctypes.c_size_t
    lib.H5Dread.argtypes = [ident] * 5 + [buffer]
    lib.H5Aread.argtypes = lib.H5Pget_fill_value.argtypes = [ident, ident, buffer]
    lib.H5Rdereference2.argtypes = [ident, ident, ctypes.c_int, buffer]
    lib.H5Rget_region.argtypes = [ident, ctypes.c_int, buffer]
    lib.H5Rdereference2.restype = lib.H5Rget_region.restype = ident
    lib.H5Oget_comment.argtypes, lib.H5Oget_comment.restype = [ident, buffer, size], ctypes.c_ssize_t
    lib.H5Tget_order.argtypes = lib.H5Tget_offset.argtypes = lib.H5Tget_precision.argtypes = [ident]
    lib.H5Tget_precision.restype = size
    return lib


HDF5 = library()


def comment(obj):
    size = HDF5.H5Oget_comment(obj.id, None, 0)
    text = ctypes.create_string_buffer(size + 1)
    HDF5.H5Oget_comment(obj.id, text, size + 1)
    return text.value


def read(function, count, t, *ids):
    """Elements as rows of bytes as they lie in HDF5's memory."""
    raw = np.zeros((count, t.get_size()), np.uint8)
    if count and function(*ids, raw.ctypes.data) < 0:
        raise NoHash("cannot be read")
    return raw


# --- types and spaces -----------------------------------------------------------------------------

def members(t):
    """(offset, index) of a compound's members."""
    return sorted((t.get_member_offset(i), i) for i in range(t.get_nmembers()))


def type_bytes(t):
    kind, size = t.get_class(), t.get_size()
    out = number(kind)
    if kind in (h5t.INTEGER, h5t.FLOAT, h5t.TIME, h5t.BITFIELD):
        out += numbers((size, HDF5.H5Tget_order(t.id), HDF5.H5Tget_precision(t.id), HDF5.H5Tget_offset(t.id)))
        if kind == h5t.INTEGER:
            out += number(t.get_sign())
        elif kind == h5t.FLOAT:
            out += numbers((*t.get_fields(), t.get_ebias(), t.get_norm()))
    elif kind == h5t.STRING:
        out += numbers((0 if t.is_variable_str() else size, t.get_strpad(), t.get_cset()))
    elif kind == h5t.OPAQUE:
        out += number(size) + string(t.get_tag())
    elif kind == h5t.COMPOUND:
        out += number(size) + number(t.get_nmembers())
        for offset, i in members(t):
            out += string(t.get_member_name(i)) + number(offset) + type_bytes(t.get_member_type(i))
    elif kind == h5t.REFERENCE:
        out += number(0 if t.equal(h5t.STD_REF_OBJ) else 1)
    elif kind == h5t.ENUM:
        base = t.get_super()
        order = "little" if HDF5.H5Tget_order(base.id) == h5t.ORDER_LE else "big"
        names = sorted((t.get_member_name(i), i) for i in range(t.get_nmembers()))
        out += type_bytes(base) + number(len(names))
        for name, i in names:
            value = t.get_member_value(i) % 2**(8 * size)
            out += string(name) + string(value.to_bytes(size, order))
    elif kind == h5t.VLEN:
        out += type_bytes(t.get_super())
    elif kind == h5t.ARRAY:
        dims = t.get_array_dims()
        out += number(len(dims)) + numbers(dims) + type_bytes(t.get_super())
    else:
        raise NoHash("a type of another class")
    return out


def space_bytes(space):
    kind = space.get_simple_extent_type()
    out = number({h5s.SCALAR: 0, h5s.SIMPLE: 1, h5s.NULL: 2}[kind])
    if kind == h5s.SIMPLE:
        dims = space.get_simple_extent_dims()
        out += number(len(dims)) + numbers(dims)
    return out


def count_of(space):
    return 0 if space.get_simple_extent_type() == h5s.NULL else space.get_simple_extent_npoints()


def contains(t, wanted):
    """Whether there is a variable-length value or a reference somewhere in a type."""
    kind = t.get_class()
    if kind == h5t.COMPOUND:
        return any(contains(t.get_member_type(i), wanted) for i in range(t.get_nmembers()))
    if kind in (h5t.ARRAY, h5t.VLEN) and contains(t.get_super(), wanted):
        return True
    if wanted == "reference":
        return kind == h5t.REFERENCE
    return kind == h5t.VLEN or (kind == h5t.STRING and t.is_variable_str())


def runs(t, at=0):
    """(offset, size) of what is value in a plain element, without the holes of compounds."""
    if t.get_class() == h5t.COMPOUND:
        return [r for offset, i in members(t) for r in runs(t.get_member_type(i), at + offset)]
    if t.get_class() == h5t.ARRAY:
        base = t.get_super()
        return [r for i in range(t.get_size() // base.get_size()) for r in runs(base, at + i * base.get_size())]
    return [(at, t.get_size())]


# --- data of plain types --------------------------------------------------------------------------

def mix(x):
    """SplitMix64."""
    x = np.asarray(x, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def signed(words):
    """16-bit words as signed numbers modulo 2^32."""
    return words.astype(np.uint16).view(np.int16).astype(np.int32).view(np.uint32)


def digit(axis, which, values, lane):
    bits = mix(values + np.uint64((2 * axis + which) << 56))
    return signed((bits >> np.uint64(16 * lane)) & np.uint64(0xFFFF) | np.uint64(1))


def keys(axis, count, lane):
    i = np.arange(count, dtype=np.uint64)
    low = digit(axis, 0, i % np.uint64(DIGIT), lane)
    return np.where(i < DIGIT, low, low * digit(axis, 1, i // np.uint64(DIGIT), lane))


def folded(items, value_runs):
    """Elements as rows of bytes -> their words, folded."""
    values = np.concatenate([items[:, at:at + size] for at, size in value_runs], axis=1)
    if values.shape[1] % 2:
        values = np.concatenate([values, np.zeros((len(values), 1), np.uint8)], axis=1)
    words = np.ascontiguousarray(values).view("<u2")
    return signed(words ^ (words >> 8))


def lanes(items, dims, value_runs, fill):
    out = []
    with np.errstate(over="ignore"):
        words = folded(items, value_runs) - folded(fill, value_runs)
        for lane in range(4):
            sums = (words * keys(WORD_AXIS, words.shape[1], lane)).sum(axis=1, dtype=np.uint32).reshape(dims)
            for axis in reversed(range(len(dims))):
                sums = (sums * keys(axis, dims[axis], lane)).sum(axis=-1, dtype=np.uint32)
            out.append(int(sums))
    return out


# --- files ----------------------------------------------------------------------------------------

def is_provenance(root, name):
    if name not in (b"emdrepack", b"emdrepack.provenance"):
        return False
    attribute = h5a.open(root, name)
    t = attribute.get_type()
    if t.get_class() != h5t.STRING or t.is_variable_str():
        return False
    try:
        found = json.loads(read(HDF5.H5Aread, 1, t, attribute.id, t.id).tobytes())
    except ValueError:
        return False
    return isinstance(found, dict) and {"version", "codec", "source", "size", "mtime"} <= set(found)


class File:
    def __init__(self, path):
        self.id = h5py.h5f.open(path.encode(), h5py.h5f.ACC_RDONLY)
        self.numbers = {}  # address -> number
        self.objects = []  # in the order of their numbers

    def enter(self, obj):
        address = h5o.get_info(obj).addr
        if address not in self.numbers:
            self.numbers[address] = len(self.objects)
            self.objects.append(obj)
        return self.numbers[address]

    # --- values as they lie in memory ---

    def region_bytes(self, raw):
        space = h5s.SpaceID(HDF5.H5Rget_region(self.id.id, h5r.DATASET_REGION, raw))
        kind, count = space.get_select_type(), space.get_select_npoints()
        out = number(kind) + number(count)
        if count:
            low, high = space.get_select_bounds()
            out += numbers((*low, *high))
            if kind in (h5s.SEL_POINTS, h5s.SEL_HYPERSLABS):
                blocks = (space.get_select_elem_pointlist() if kind == h5s.SEL_POINTS
                          else space.get_select_hyper_blocklist())
                out += number(len(blocks))
                if len(blocks) <= MOST_BLOCKS:
                    out += numbers(np.asarray(blocks).ravel())
        return out

    def reference_bytes(self, raw, region):
        target = None
        if any(raw) and raw[:8] != b"\xff" * 8:
            if not region:
                target = self.numbers.get(struct.unpack("<Q", raw[:8])[0])
            if target is None:
                kind = h5r.DATASET_REGION if region else h5r.OBJECT
                found = HDF5.H5Rdereference2(self.id.id, 0, kind, raw)
                if found >= 0:
                    target = self.numbers.get(h5o.get_info(h5i.wrap_identifier(found)).addr)
        if target is None:
            return number(NO_OBJECT)
        return number(target) + (self.region_bytes(raw) if region else b"")

    def items_bytes(self, raw, t):
        size = t.get_size()
        return b"".join(self.value_bytes(raw[i:i + size], t) for i in range(0, len(raw), size))

    def value_bytes(self, raw, t):
        """One element."""
        kind = t.get_class()
        if kind == h5t.STRING and t.is_variable_str():
            text = struct.unpack("<Q", raw)[0]
            return string(ctypes.string_at(text) if text else b"")
        if kind == h5t.REFERENCE:
            return self.reference_bytes(raw, not t.equal(h5t.STD_REF_OBJ))
        if kind == h5t.VLEN:
            count, data = struct.unpack("<QQ", raw)
            base, count = t.get_super(), count if data else 0
            items = ctypes.string_at(data, count * base.get_size()) if count else b""
            return number(count) + self.items_bytes(items, base)
        if kind == h5t.COMPOUND:
            parts = ((at, t.get_member_type(i)) for at, i in members(t))
            return b"".join(self.value_bytes(raw[at:at + m.get_size()], m) for at, m in parts)
        if kind == h5t.ARRAY:
            return self.items_bytes(raw, t.get_super())
        return raw

    # --- attributes, datasets, links ---

    def attribute_bytes(self, obj, name):
        attribute = h5a.open(obj, name)
        t, space = attribute.get_type().copy(), attribute.get_space()
        raw = read(HDF5.H5Aread, count_of(space), t, attribute.id, t.id)
        return string(name) + type_bytes(t) + space_bytes(space) + digest(self.items_bytes(raw.tobytes(), t))

    def dataset_bytes(self, dataset):
        t, space, plist = dataset.get_type().copy(), dataset.get_space(), dataset.get_create_plist()
        if plist.get_layout() == h5d.VIRTUAL or plist.get_external_count():
            raise NoHash("data in other files")
        count, reference = count_of(space), contains(t, "reference")
        fill = np.zeros((1, t.get_size()), np.uint8)
        if plist.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED and not reference:
            fill = read(HDF5.H5Pget_fill_value, 1, t, plist.id, t.id)
        fill_bytes = self.value_bytes(fill.tobytes(), t)
        out = type_bytes(t) + space_bytes(space) + string(fill_bytes)
        raw = read(HDF5.H5Dread, count, t, dataset.id, t.id, 0, 0, 0)
        if not reference and not contains(t, "variable"):
            return out + numbers(lanes(raw, space.shape, runs(t), fill) if count else [0] * 4)
        total = 0
        for i in range(count):
            value = self.value_bytes(raw[i].tobytes(), t)
            if value != fill_bytes:
                total += int(xxhash.xxh3_128_hexdigest(number(i) + value), 16)
        return out + number(total % 2**64) + number(total // 2**64 % 2**64)

    def links(self, group):
        names = []
        group.links.iterate(names.append)
        return sorted(names)

    def link_bytes(self, group, name):
        kind = group.links.get_info(name).type
        out = string(name) + number(kind)
        if kind == h5l.TYPE_HARD:
            return out + number(self.enter(h5o.open(group, name)))
        if kind == h5l.TYPE_SOFT:
            return out + string(group.links.get_val(name))
        if kind == h5l.TYPE_EXTERNAL:
            file, path = group.links.get_val(name)
            return out + string(file) + string(path)
        raise NoHash("a user-defined link, of which h5py does not tell the value")

    # --- objects ---

    def walk(self):
        self.enter(h5g.open(self.id, b"/"))
        for group in self.objects:  # which grows
            if h5i.get_type(group) == h5i.GROUP:
                for name in self.links(group):
                    if group.links.get_info(name).type == h5l.TYPE_HARD:
                        self.enter(h5o.open(group, name))

    def record(self, obj):
        kind = {h5i.GROUP: 1, h5i.DATASET: 2, h5i.DATATYPE: 3}[h5i.get_type(obj)]
        out = number(kind) + string(comment(obj))
        if kind == 1:
            names = self.links(obj)
            out += number(len(names)) + b"".join(self.link_bytes(obj, name) for name in names)
        names = sorted(h5a.open(obj, index=i).name for i in range(h5a.get_num_attrs(obj)))
        if obj is self.objects[0]:
            names = [name for name in names if not is_provenance(obj, name)]
        out += number(len(names)) + b"".join(self.attribute_bytes(obj, name) for name in names)
        if kind == 2:
            out += self.dataset_bytes(obj)
        elif kind == 3:
            out += type_bytes(obj)
        return out

    def hash(self):
        self.walk()
        return digest(string(NAME) + b"".join(digest(self.record(o)) for o in self.objects)).hex()


def content_hash(path):
    return File(path).hash()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        try:
            print(f"{content_hash(argument)}  {argument}")
        except NoHash as e:
            sys.exit(f"content_hash_reference.py: {argument}: {e}")
