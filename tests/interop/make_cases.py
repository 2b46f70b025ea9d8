#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""make_cases.py FOLDER [NAME...]: small files of kinds that copies of HDF5 files have gone wrong on.

Each case is a function that writes one file; CASES holds what must come of it. The kinds: shared object
header messages, other ways to lay out a file, variable-length data inside arrays of compounds,
references that lead nowhere or stand in fill values, attributes too wide for an old object header,
filters that are not installed, data that lie elsewhere, user-defined links, and files as netCDF,
MATLAB, PyTables and detectors write them.
"""
import ctypes
import itertools
import os
import struct
import sys

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5p, h5s, h5t, h5z

from make_nasty import attribute, dataset, dcpl, hdf5, set_raw_fill, variable_string

LIBRARY = hdf5()
EQUAL, LOST, REFUSED = "equal", "lost references", "refused"


class Case:
    """make(path) writes it. 'words' must stand in what emdrepack says, all of them; nothing else may
    differ than 'outcome' says."""

    def __init__(self, make, outcome=EQUAL, words=()):
        self.make, self.outcome, self.words = make, outcome, words


CASES = {}


def case(name, outcome=EQUAL, words=()):
    def enter(make):
        assert name not in CASES, name
        CASES[name] = Case(make, outcome, words)
        return make
    return enter


def call(function, *arguments):
    """A function of HDF5 that h5py has no counterpart for."""
    kinds = {int: ctypes.c_int64, bytes: ctypes.c_char_p}
    f = getattr(LIBRARY, function)
    f.argtypes = [kinds.get(type(a), type(a)) for a in arguments]
    assert f(*arguments) >= 0, function


def create(path, libver="earliest", settings=None):
    access = h5p.create(h5p.FILE_ACCESS)
    low = h5f.LIBVER_LATEST if libver == "latest" else h5f.LIBVER_EARLIEST
    access.set_libver_bounds(low, h5f.LIBVER_LATEST)
    creation = h5p.create(h5p.FILE_CREATE)
    if settings:
        settings(creation)
    return h5py.File(h5f.create(os.fsencode(path), h5f.ACC_TRUNC, creation, access))


def some_of_everything(f):
    """Objects of equal types, spaces, fill values, filters and attributes: what a file may share."""
    record = np.dtype([("time", "<f8"), ("counts", "<i4", (3,)), ("place", [("x", ">f4"), ("y", ">f4")])])
    f["record"] = record
    for i in range(5):
        g = f.create_group("group %d" % i)
        rows = np.zeros(50, record)
        rows["time"] = np.arange(50) * i
        d = g.create_dataset("rows", data=rows, chunks=(20,), compression="gzip", shuffle=True,
                             fletcher32=True, fillvalue=np.ones((), record))
        d.attrs["unit"] = np.arange(20.0)
        d.attrs["record"] = rows[1]
        d.attrs["text"] = "the same for all"
        d.attrs["scale"] = np.float32(2)
        d = g.create_dataset("frames", (4, 40, 30), "<u2", chunks=(1, 40, 30), compression="gzip",
                             maxshape=(None, 40, 30), fillvalue=7)
        d[:2] = np.arange(2400).reshape(2, 40, 30) % 11
        d.attrs["unit"] = np.arange(20.0)
        g.create_dataset("committed", data=rows[:5], dtype=f["record"])
        g["committed"].attrs.create("also committed", rows[2], dtype=f["record"])
        g.create_dataset("strings", data=np.array(["a", "bb", "ccc" * i], dtype=object),
                         dtype=h5py.string_dtype())
        g["strings"].attrs["of"] = g.ref
        g.create_dataset("references", data=np.array([g.ref, f["record"].ref], h5py.ref_dtype),
                         dtype=h5py.ref_dtype)
        g.create_dataset("regions", data=np.array([g["frames"].regionref[1, 3:5]], h5py.regionref_dtype),
                         dtype=h5py.regionref_dtype)
        ragged = g.create_dataset("ragged", (3,), h5py.vlen_dtype("<i2"))
        ragged[0], ragged[2] = np.arange(3), np.arange(i)
        enum = g.create_dataset("enum", (3,), h5py.enum_dtype({"red": 1, "blue": 2}, "i1"))
        enum[...] = 2
        g.attrs["name"] = "the same for all"
        g.attrs["record"] = rows[3]


# ---- shared messages ----

SHARED = {"space": 1 << 1, "type": 1 << 3, "fill": 1 << 5, "pipeline": 1 << 11, "attribute": 1 << 12}
SHARED["all"] = sum(SHARED.values())


def make_shared(path, libver, flags, most_in_list):
    def settings(creation):
        call("H5Pset_shared_mesg_nindexes", creation.id, ctypes.c_uint(1))
        call("H5Pset_shared_mesg_index", creation.id, ctypes.c_uint(0), ctypes.c_uint(flags), ctypes.c_uint(1))
        call("H5Pset_shared_mesg_phase_change", creation.id, ctypes.c_uint(most_in_list),
             ctypes.c_uint(max(most_in_list - 10, 0)))
    with create(path, libver, settings) as f:
        some_of_everything(f)


for _libver, _what, (_index, _most) in itertools.product(("earliest", "latest"), SHARED,
                                                         (("list", 50), ("tree", 0))):
    case("shared_%s_%s_%s" % (_what, _libver, _index))(
        lambda path, libver=_libver, flags=SHARED[_what], most=_most: make_shared(path, libver, flags, most))


@case("shared_in_three_indexes")
def make_three_indexes(path):
    def settings(creation):
        call("H5Pset_shared_mesg_nindexes", creation.id, ctypes.c_uint(3))
        for i, flags in enumerate((SHARED["type"], SHARED["attribute"], SHARED["fill"] | SHARED["pipeline"])):
            call("H5Pset_shared_mesg_index", creation.id, ctypes.c_uint(i), ctypes.c_uint(flags),
                 ctypes.c_uint(20 * i))
    with create(path, "latest", settings) as f:
        some_of_everything(f)


# ---- files laid out otherwise ----

def strategy(kind, persist):
    return lambda creation: call("H5Pset_file_space_strategy", creation.id, ctypes.c_int(kind),
                                 ctypes.c_bool(persist), ctypes.c_ulonglong(1))


LAYOUTS = {
    "paged": strategy(1, False), "paged_persistent": strategy(1, True),
    "persistent": strategy(0, True), "no_free_space": strategy(3, False),
    "addresses_4": lambda creation: creation.set_sizes(4, 4),
    "lengths_4": lambda creation: creation.set_sizes(8, 4),
    "user_block": lambda creation: creation.set_userblock(1024),
    "small_nodes": lambda creation: call("H5Pset_sym_k", creation.id, ctypes.c_uint(2), ctypes.c_uint(2)),
}
for _name, _libver in itertools.product(LAYOUTS, ("earliest", "latest")):
    if _name.endswith("_4") and _libver == "latest":
        continue  # HDF5 1.10 does not recognise what is unlimited in them itself
    def _make(path, settings=LAYOUTS[_name], libver=_libver):
        with create(path, libver, settings) as f:
            some_of_everything(f)
            f["to be deleted"] = np.zeros(10000)
            f.flush()
            del f["to be deleted"]
    case("file_%s_%s" % (_name, _libver))(_make)


# ---- variable-length data inside other types ----

TEXT, NUMBER = ("text",), ("number",)


def sequence(of):
    return ("sequence", of)


def array(n, of):
    return ("array", n, of)


def compound(*members):
    return ("compound",) + members


def size_of(spec):
    sizes = {"text": 8, "number": 4, "sequence": 16}
    if spec[0] == "array":
        return spec[1] * size_of(spec[2])
    return sizes[spec[0]] if spec[0] in sizes else sum(map(size_of, spec[1:]))


def type_of(spec):
    if spec[0] == "text":
        return variable_string()
    if spec[0] == "number":
        return h5t.STD_I32LE
    if spec[0] == "sequence":
        return h5t.vlen_create(type_of(spec[1]))
    if spec[0] == "array":
        return h5t.array_create(type_of(spec[2]), (spec[1],))
    made, at = h5t.create(h5t.COMPOUND, size_of(spec)), 0
    for i, member in enumerate(spec[1:]):
        made.insert(b"m%d" % i, at, type_of(member))
        at += size_of(member)
    return made


def value_of(spec, kept, counter):
    """Bytes of an element in memory; what it points to lives in 'kept'."""
    i = next(counter)
    if spec[0] == "number":
        return struct.pack("<i", i)
    if spec[0] == "text":
        kept.append(ctypes.create_string_buffer(b"text %d" % i))
        return struct.pack("P", ctypes.addressof(kept[-1]))
    if spec[0] == "sequence":
        items = b"".join(value_of(spec[1], kept, counter) for _ in range(i % 4))
        kept.append(ctypes.create_string_buffer(items, max(len(items), 1)))
        return struct.pack("NP", i % 4, ctypes.addressof(kept[-1]))
    parts = [spec[2]] * spec[1] if spec[0] == "array" else spec[1:]
    return b"".join(value_of(part, kept, counter) for part in parts)


NESTED = {
    "compound_text": compound(NUMBER, TEXT),
    "array_text": array(3, TEXT),
    "array_sequence": array(2, sequence(NUMBER)),
    "array_compound_text": array(3, compound(NUMBER, TEXT)),
    "array_compound_sequence": array(2, compound(sequence(NUMBER), NUMBER)),
    "array_compound_both": array(4, compound(TEXT, sequence(NUMBER), TEXT)),
    "compound_array_compound_text": compound(NUMBER, array(3, compound(TEXT, NUMBER)), TEXT),
    "array_compound_sequence_compound_text": array(2, compound(sequence(compound(NUMBER, TEXT)), NUMBER)),
    "array_compound_sequence_sequence": array(2, compound(sequence(sequence(NUMBER)))),
    "sequence_compound_text": sequence(compound(NUMBER, TEXT)),
    "sequence_text": sequence(TEXT),
    "array_array_compound_text": array(2, array(2, compound(TEXT))),
}


def make_nested(path, spec, layout):
    """Element by element: HDF5 1.10 loses values of what is written together."""
    n, kept, counter = 7, [], itertools.count(1)
    with create(path) as f:
        settings = dcpl(chunk=((3,),), deflate=1) if layout == "chunked" else None
        made = h5d.create(f.id, b"data", type_of(spec), h5s.create_simple((n,)), settings)
        for i in range(n):
            space = h5s.create_simple((n,))
            space.select_hyperslab((i,), (1,))
            raw = np.frombuffer(value_of(spec, kept, counter), "V%d" % size_of(spec))
            made.write(h5s.create_simple((1,)), space, raw, mtype=type_of(spec))
        one = np.frombuffer(value_of(spec, kept, counter), "V%d" % size_of(spec))
        h5a.create(f["/"].id, b"one", type_of(spec), h5s.create_simple((1,))).write(one, mtype=type_of(spec))


for _name, _layout in itertools.product(NESTED, ("contiguous", "chunked")):
    case("nested_%s_%s" % (_name, _layout))(
        lambda path, spec=NESTED[_name], layout=_layout: make_nested(path, spec, layout))


# ---- references ----

UNDEFINED = b"\xff" * 8


@case("references_undefined")
def make_undefined(path):
    with create(path) as f:
        f["x"] = 1
        good = f["x"].ref
        dataset(f.id, b"object", np.frombuffer(UNDEFINED + bytes(8), "V8"), h5t.STD_REF_OBJ, raw=True)
        dataset(f.id, b"some", np.array([good, h5py.Reference()], h5py.ref_dtype), h5t.STD_REF_OBJ)
        dataset(f.id, b"region", np.frombuffer(UNDEFINED + bytes(4) + bytes(12), "V12"),
                h5t.STD_REF_DSETREG, raw=True)
        h5a.create(f["x"].id, b"object", h5t.STD_REF_OBJ, h5s.create(h5s.SCALAR)).write(
            np.frombuffer(UNDEFINED, "V8"), mtype=h5t.STD_REF_OBJ)


@case("references_undefined_in_chunks_and_compounds")
def make_undefined_members(path):
    pair = h5t.create(h5t.COMPOUND, 24)
    pair.insert(b"object", 0, h5t.STD_REF_OBJ)
    pair.insert(b"region", 8, h5t.STD_REF_DSETREG)
    pair.insert(b"n", 20, h5t.STD_I32LE)
    with create(path) as f:
        values = np.frombuffer(b"".join(UNDEFINED * 2 + bytes(4) + struct.pack("<i", i) for i in range(5)), "V24")
        dataset(f.id, b"pairs", values, pair, dcpl_=dcpl(chunk=((2,),), deflate=1), raw=True)


def delete(f, name):
    """And something else in its place."""
    f.flush()
    del f[name]


@case("references_dangling_scale", LOST, ("/x", "REFERENCE_LIST", "1 reference to objects that are gone"))
def make_dangling_scale(path):
    with create(path) as f:
        for name in ("x", "kept", "gone"):
            f[name] = np.arange(4.0)
        f["x"].make_scale("x")
        for name in ("kept", "gone"):
            f[name].dims[0].attach_scale(f["x"])
        delete(f, "gone")


@case("references_dangling_objects", LOST, ("/list", "3 references to objects that are gone"))
def make_dangling_objects(path):
    with create(path) as f:
        for i in range(5):
            f["d%d" % i] = np.arange(i + 1)
        f["list"] = np.array([f["d%d" % i].ref for i in range(5)], h5py.ref_dtype)
        for i in (0, 2, 3):
            delete(f, "d%d" % i)


@case("references_dangling_regions", LOST, ("/list", "1 reference to objects that are gone"))
def make_dangling_regions(path):
    with create(path, "latest") as f:
        f["a"], f["b"] = np.arange(9), np.arange(9)
        f["list"] = np.array([f["a"].regionref[2:4], f["b"].regionref[...]], h5py.regionref_dtype)
        delete(f, "a")


@case("references_dangling_in_sequences", LOST, ("/ragged", "2 references", "null"))
def make_dangling_sequences(path):
    with create(path) as f:
        f["a"], f["b"] = np.arange(9), np.arange(9)
        ragged = f.create_dataset("ragged", (2,), h5py.vlen_dtype(h5py.ref_dtype))
        ragged[0] = np.array([f["a"].ref, f["b"].ref], h5py.ref_dtype)
        ragged[1] = np.array([f["a"].ref], h5py.ref_dtype)
        delete(f, "a")


def make_fill(path, tid, value_for, libver="earliest"):
    """Datasets of references, in a group that is met before and one that is met after what they lead to."""
    with create(path, libver) as f:
        for name in ("a", "z"):
            f.create_group(name)
        f["m/target"] = np.arange(6)
        value = value_for(f)
        for name in ("a", "z"):
            settings = dcpl(chunk=((2,),))
            set_raw_fill(settings, tid, value)
            made = h5d.create(f[name].id, b"cell", tid, h5s.create_simple((5,)), settings)
            some = h5s.create_simple((5,))
            some.select_hyperslab((2,), (1,))
            made.write(h5s.create_simple((1,)), some, np.frombuffer(value, "V%d" % len(value)), mtype=tid)


def object_bytes(f, name):
    f["hidden"] = np.array([f[name].ref], h5py.ref_dtype)
    raw = np.zeros(1, "V8")
    f["hidden"].id.read(h5s.ALL, h5s.ALL, raw, mtype=h5t.STD_REF_OBJ)
    del f["hidden"]
    return raw.tobytes()


def region_bytes(f):
    f["hidden"] = np.array([f["m/target"].regionref[1:3]], h5py.regionref_dtype)
    raw = np.zeros(1, "V12")
    f["hidden"].id.read(h5s.ALL, h5s.ALL, raw, mtype=h5t.STD_REF_DSETREG)
    del f["hidden"]
    return raw.tobytes()


for _libver in ("earliest", "latest"):
    for _name, _tid, _value in (
            ("null", h5t.STD_REF_OBJ, lambda f: bytes(8)),
            ("null_region", h5t.STD_REF_DSETREG, lambda f: bytes(12)),
            ("undefined", h5t.STD_REF_OBJ, lambda f: UNDEFINED),
            ("dataset", h5t.STD_REF_OBJ, lambda f: object_bytes(f, "m/target")),
            ("group", h5t.STD_REF_OBJ, lambda f: object_bytes(f, "m")),
            ("root", h5t.STD_REF_OBJ, lambda f: object_bytes(f, "/")),
            ("region", h5t.STD_REF_DSETREG, region_bytes)):
        case("fill_%s_%s" % (_name, _libver))(
            lambda path, tid=_tid, value=_value, libver=_libver: make_fill(path, tid, value, libver))


# ---- wide attributes ----

def wide_compound(n):
    return np.dtype([("member number %05d" % i, "i1") for i in range(n)])


def wide_attribute(f, where):
    if where == "root":
        return f["/"].id
    if where == "group":
        return f.create_group("g").id
    if where == "type":
        f["t"] = np.dtype("<i4")
        return f["t"].id
    return f.create_dataset("d", data=np.arange(3)).id


for _where in ("root", "group", "dataset", "type"):
    @case("wide_type_%s" % _where)
    def _make(path, where=_where):
        with h5py.File(path, "w", libver="latest") as f:
            attribute(wide_attribute(f, where), b"wide" * 5000, np.zeros((), wide_compound(1300)))

    @case("wide_name_%s" % _where)
    def _make(path, where=_where):
        with h5py.File(path, "w", libver="latest") as f:
            attribute(wide_attribute(f, where), b"n" * 65000, np.arange(100.0))


@case("wide_enum")
def make_wide_enum(path):
    with h5py.File(path, "w", libver="latest") as f:
        enum = h5t.enum_create(h5t.STD_I32LE)
        for i in range(2000):
            enum.enum_insert(b"value number %d" % i, i)
        attribute(f.create_group("g").id, b"enum" * 5000, np.int32(3), enum)


@case("wide_value_shared")
def make_wide_shared(path):
    """An attribute that is small in its object, being shared, and large where it is not."""
    def settings(creation):
        call("H5Pset_shared_mesg_nindexes", creation.id, ctypes.c_uint(1))
        call("H5Pset_shared_mesg_index", creation.id, ctypes.c_uint(0), ctypes.c_uint(SHARED["all"]), ctypes.c_uint(1))
    with create(path, "latest", settings) as f:
        for name in "ab":
            attribute(f.create_group(name).id, b"wide", np.zeros((), wide_compound(1300)))


# ---- filters that are not installed ----

def rename_filter(path, number):
    """Makes deflate another filter, in pipeline messages of version 1."""
    with open(path, "r+b") as f:
        data = bytearray(f.read())
        at = data.find(b"deflate\0")
        assert at > 0
        while at > 0:
            data[at - 8:at - 6] = number.to_bytes(2, "little")
            at = data.find(b"deflate\0", at + 1)
        f.seek(0)
        f.write(data)


def make_unknown(path, number, optional=False, masked=False, **settings):
    with create(path) as f:
        made = dcpl(chunk=((10, 16),), shuffle=(), **settings)
        made.set_filter(h5z.FILTER_DEFLATE, h5z.FLAG_OPTIONAL if optional else 0, (5,))
        tid = settings.pop("tid", h5t.STD_I32LE)
        d = h5d.create(f.id, b"data", tid, h5s.create_simple((25, 40)), made)
        image = np.arange(1000, dtype="<i4").reshape(25, 40)
        if masked:
            for at in itertools.product(range(0, 25, 10), range(0, 40, 16)):
                d.write_direct_chunk(at, bytes(640), 0b11)
        else:
            d.write(h5s.ALL, h5s.ALL, image)
        f["plain"] = image
    rename_filter(path, number)


for _number in (32004, 32026, 32013, 305, 65535):
    case("filter_%d" % _number, words=("/data", str(_number), "9 chunks are copied"))(
        lambda path, number=_number: make_unknown(path, number))
case("filter_optional", words=("/data", "32004"))(lambda path: make_unknown(path, 32004, optional=True))
case("filter_not_applied")(lambda path: make_unknown(path, 32004, masked=True))
case("filter_optional_not_applied")(lambda path: make_unknown(path, 32004, optional=True, masked=True))
case("filter_early", words=("/data", "32004"))(
    lambda path: make_unknown(path, 32004, alloc_time=h5d.ALLOC_TIME_EARLY))
case("filter_filled", words=("/data", "32004"))(
    lambda path: make_unknown(path, 32004, fill_value=np.array(5, "<i4")))


@case("filter_lzf", words=("/stack", "32000", "lzf", "copied"))
def make_lzf(path):
    with h5py.File(path, "w") as f:
        f.create_dataset("stack", data=np.arange(60000, dtype="u2").reshape(6, 100, 100) % 50, chunks=(1, 100, 100),
                         compression="lzf", shuffle=True)
        f.create_dataset("row", data=np.arange(5000) % 7, compression="lzf")


@case("filter_of_strings", REFUSED, ("/data", "32004"))
def make_unknown_strings(path):
    with create(path) as f:
        f.create_dataset("data", data=np.array(["a" * 100] * 50, object), dtype=h5py.string_dtype(), chunks=(10,),
                         compression="gzip")
    rename_filter(path, 32004)


# ---- data elsewhere, links of others ----

def make_virtual(path, name, unlimited=False, printf=False):
    for i in range(3):
        with create("%s.part%d" % (path, i)) as f:
            f.create_dataset("data", data=np.arange(20).reshape(4, 5) + i, chunks=(2, 5), maxshape=(None, 5))
    with create(path, "latest") as f:
        if printf:
            space = h5s.create_simple((4, 5), (h5s.UNLIMITED, 5))
            space.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (4, 1), (4, 5))
            settings = h5p.create(h5p.DATASET_CREATE)
            settings.set_virtual(space, (os.path.basename(path) + ".part%b").encode(), b"data",
                                 h5s.create_simple((4, 5)))
            h5d.create(f.id, b"virtual", h5t.STD_I64LE, h5s.create_simple((4, 5), (h5s.UNLIMITED, 5)), settings)
            return
        f["data"] = np.arange(20).reshape(4, 5)
        layout = h5py.VirtualLayout((12, 5), "<i8", maxshape=(None, 5) if unlimited else None)
        for i in range(3):
            source = h5py.VirtualSource("." if name == "." else "%s.part%d" % (os.path.basename(path), i), "data",
                                        (4, 5))
            layout[4 * i:4 * i + 4] = source
        f.create_virtual_dataset("virtual", layout, fillvalue=-1)
        f["virtual"].attrs["unit"] = "counts"


case("virtual_here", words=("/virtual", "virtual dataset"))(lambda path: make_virtual(path, "."))
case("virtual_elsewhere", words=("/virtual", "3 other datasets"))(lambda path: make_virtual(path, "part"))
case("virtual_unlimited", words=("/virtual",))(lambda path: make_virtual(path, "part", unlimited=True))
case("virtual_printf", words=("/virtual",))(lambda path: make_virtual(path, "part", printf=True))


@case("external_raw", words=("/raw", "2 other files"))
def make_external(path):
    name = os.path.basename(path).encode()
    for i in range(2):
        np.arange(30, dtype="<i4").tofile("%s.raw%d" % (path, i))
    with create(path) as f:
        settings = dcpl()
        settings.set_external(name + b".raw0", 40, 80)
        settings.set_external(name + b".raw1", 0, 120)
        h5d.create(f.id, b"raw", h5t.STD_I32LE, h5s.create_simple((10, 5)), settings)


def make_user_link(path, kind):
    """By a class registered for the purpose."""
    traverse = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_size_t,
                                ctypes.c_int64, ctypes.c_int64)

    class LinkClass(ctypes.Structure):
        _fields_ = [("version", ctypes.c_int), ("id", ctypes.c_int), ("comment", ctypes.c_char_p),
                    ("create", ctypes.c_void_p), ("move", ctypes.c_void_p), ("copy", ctypes.c_void_p),
                    ("traverse", traverse), ("delete", ctypes.c_void_p), ("query", ctypes.c_void_p)]
    made = LinkClass(1, kind, b"of a test", None, None, None, traverse(lambda *a: -1), None, None)
    LIBRARY.H5Lregister.argtypes = [ctypes.POINTER(LinkClass)]
    assert LIBRARY.H5Lregister(ctypes.byref(made)) >= 0
    with create(path, "latest") as f:
        f["data"] = 1
        call("H5Lcreate_ud", f.id.id, b"thing", ctypes.c_int(kind), b"some bytes", ctypes.c_size_t(10),
             ctypes.c_int64(0), ctypes.c_int64(0))
        call("H5Lcreate_ud", f.id.id, b"nothing", ctypes.c_int(kind), b"", ctypes.c_size_t(0), ctypes.c_int64(0),
             ctypes.c_int64(0))
    LIBRARY.H5Lunregister.argtypes = [ctypes.c_int]
    assert LIBRARY.H5Lunregister(kind) >= 0


for _kind in (65, 200, 255):
    case("user_link_%d" % _kind)(lambda path, kind=_kind: make_user_link(path, kind))


# ---- as other programs write ----

@case("like_netcdf")
def make_netcdf(path):
    with h5py.File(path, "w", libver=("earliest", "v110"), track_order=True) as f:
        f.attrs["_NCProperties"] = "version=2,netcdf=4.9.0"
        for i, (name, n) in enumerate((("time", 6), ("lat", 4), ("lon", 5))):
            d = f.create_dataset(name, data=np.arange(n, dtype="<f4"), maxshape=(None,) if name == "time" else (n,),
                                 chunks=(4,) if name == "time" else None, track_order=True)
            d.make_scale(name)
            d.attrs["_Netcdf4Dimid"] = np.int32(i)
        t = f.create_dataset("t", data=np.random.default_rng(4).normal(size=(6, 4, 5)).astype("<f4"), chunks=(1, 4, 5),
                             maxshape=(None, 4, 5), compression="gzip", shuffle=True, fillvalue=np.float32(9.97e36))
        for i, name in enumerate(("time", "lat", "lon")):
            t.dims[i].attach_scale(f[name])
        t.attrs.create("_FillValue", np.array([9.97e36], "<f4"))
        t.attrs["units"] = np.bytes_("K")


@case("like_matlab")
def make_matlab(path):
    with create(path, settings=lambda creation: creation.set_userblock(512)) as f:
        refs = f.create_group("#refs#")
        cells = []
        for i in range(4):
            d = refs.create_dataset("abcd"[i], data=np.arange(i + 1, dtype="<f8").reshape(1, -1))
            d.attrs["MATLAB_class"] = np.bytes_("double")
            cells.append(d.ref)
        settings = dcpl()
        set_raw_fill(settings, h5t.STD_REF_OBJ, bytes(8))
        cell = h5d.create(f.id, b"cell", h5t.STD_REF_OBJ, h5s.create_simple((2, 2)), settings)
        h5py.Dataset(cell)[...] = np.array(cells, h5py.ref_dtype).reshape(2, 2)
        f["cell"].attrs["MATLAB_class"] = np.bytes_("cell")
        s = f.create_group("s")
        fields = np.empty(2, object)
        fields[:] = [np.array([b"a"], "S1"), np.array([b"b", b"c"], "S1")]
        s.attrs.create("MATLAB_fields", fields, dtype=h5py.vlen_dtype("S1"))
        s["empty"] = np.zeros(2, "<u8")
        s["empty"].attrs["MATLAB_empty"] = np.uint8(1)
    with open(path, "r+b") as f:
        f.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


@case("like_pytables")
def make_pytables(path):
    with create(path) as f:
        f.attrs["PYTABLES_FORMAT_VERSION"] = np.bytes_("2.1")
        row = np.dtype([("id", "<i8"), ("name", "S16"), ("vector", "<f8", (3,)), ("flag", "?"), ("c", "<c16")])
        table = f.create_dataset("table", (100,), row, chunks=(32,), maxshape=(None,), compression="gzip", shuffle=True)
        table["id"] = np.arange(100)
        table.attrs["CLASS"] = np.bytes_("TABLE")
        table.attrs["FIELD_0_FILL"] = np.int64(0)
        array_ = f.create_dataset("vlarray", (5,), h5py.vlen_dtype("<i4"), chunks=(2,), maxshape=(None,), shuffle=True)
        for i in range(5):
            array_[i] = np.arange(i)
        f["bits"] = np.arange(5) > 2
        dataset(f.id, b"time", np.arange(3, dtype="<f8"), h5t.UNIX_D64LE, raw=True)


@case("like_detector")
def make_detector(path):
    with create(path, "latest") as f:
        data = f.create_group("entry/data")
        data.attrs["NX_class"] = "NXdata"
        for i in range(3):
            data["data_%06d" % (i + 1)] = h5py.ExternalLink("run_data_%06d.h5" % (i + 1), "/entry/data/data")
        data["data"] = h5py.SoftLink("/entry/data/data_000001")
        detector = f.create_group("entry/instrument/detector")
        detector["beam_center_x"] = np.float32(512.5)
        detector["beam_center_x"].attrs["units"] = "pixel"
        mask = np.zeros((64, 80), "<u4")
        mask[10:12] = 1
        detector.create_dataset("pixel_mask", data=mask, chunks=(64, 80), compression="gzip")
        detector["description"] = np.bytes_("Si")


@case("like_numbers")
def make_numbers(path):
    with create(path) as f:
        for order in "<>":
            for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"):
                name = "%s %s" % ("little" if order == "<" else "big", kind)
                f.create_dataset(name, data=np.arange(40 * 40 * 2).reshape(2, 40, 40).astype(order + kind), chunks=(1, 40, 40))
        for precision, offset, kind in ((12, 0, h5t.STD_U16LE), (12, 3, h5t.STD_I16BE), (31, 0, h5t.STD_I32LE)):
            tid = kind.copy()
            tid.set_precision(precision)
            tid.set_offset(offset)
            nbit = dcpl(chunk=((1, 40, 40),))
            call("H5Pset_nbit", nbit.id)
            dataset(f.id, b"nbit %d" % precision + b" %d" % offset, np.arange(3200).reshape(2, 40, 40) % 1000, tid, dcpl_=nbit)
        tiny = h5t.IEEE_F32LE.copy()
        tiny.set_fields(7, 4, 3, 0, 3)
        tiny.set_precision(8)
        tiny.set_size(1)
        tiny.set_ebias(7)
        dataset(f.id, b"one byte", np.arange(32, dtype="<f4").reshape(4, 8), tiny)
        scale = dcpl(chunk=((1, 40, 40),))
        scale.set_scaleoffset(h5z.SO_FLOAT_DSCALE, 2)
        dataset(f.id, b"scaled", np.linspace(0, 9, 3200).astype("<f4").reshape(2, 40, 40), dcpl_=scale)
        scale = dcpl(chunk=((1, 40, 40),))
        scale.set_scaleoffset(h5z.SO_INT, 0)
        dataset(f.id, b"offset", np.arange(3200, dtype="<i4").reshape(2, 40, 40) % 100, dcpl_=scale)
        if h5z.filter_avail(h5z.FILTER_SZIP) and h5z.get_filter_info(h5z.FILTER_SZIP) & h5z.FILTER_CONFIG_ENCODE_ENABLED:
            szip = dcpl(chunk=((1, 40, 40),))
            szip.set_szip(32, 16)
            dataset(f.id, b"szip", np.arange(3200, dtype="<u2").reshape(2, 40, 40), dcpl_=szip)


@case("like_edges")
def make_edges(path):
    """Plain edge chunks, every kind of chunk index, extents that shrank, fill values that nobody wrote."""
    with create(path, "latest") as f:
        image = np.arange(45 * 33, dtype="<i4").reshape(45, 33)
        for name, most in (("fixed", (45, 33)), ("extensible", (None, 33)), ("tree", (None, None))):
            for partial in (0, 2):
                settings = dcpl(chunk=((20, 16),), deflate=4)
                call("H5Pset_chunk_opts", settings.id, ctypes.c_uint(partial))
                space = h5s.create_simple((45, 33), tuple(h5s.UNLIMITED if m is None else m for m in most))
                dataset(f.id, ("%s %d" % (name, partial)).encode(), image, space=space, dcpl_=settings)
        dataset(f.id, b"single", image, dcpl_=dcpl(chunk=((45, 33),), deflate=4))
        dataset(f.id, b"implicit", image, dcpl_=dcpl(chunk=((20, 16),), alloc_time=h5d.ALLOC_TIME_EARLY))
        f["fixed 0"].attrs["nothing"] = h5py.Empty("f8")
        f.create_dataset("sparse", (300, 200), "<u2", chunks=(50, 50), fillvalue=3)[120, 130] = 1
        f.create_dataset("none", (0, 7), "f4", maxshape=(None, 7))
        h5d.create(f.id, b"null", h5t.IEEE_F32LE, h5s.create(h5s.NULL))
        compact = dcpl()
        compact.set_layout(h5d.COMPACT)
        made = h5d.create(f.id, b"compact text", variable_string(), h5s.create_simple((3,)), compact)
        made.write(h5s.ALL, h5s.ALL, np.asarray([b"a", b"", b"ccc"], h5py.string_dtype("ascii")), mtype=variable_string())
        f.create_dataset("texts", data=np.array(["t%d" % i for i in range(100)], object), dtype=h5py.string_dtype(),
                         chunks=(9,), maxshape=(None,), compression="gzip", shuffle=True)
        never = dcpl(chunk=((20, 16),), fill_time=h5d.FILL_TIME_NEVER)
        made = h5d.create(f.id, b"never", h5t.STD_I16BE, h5s.create_simple((45, 33)), never)
        made.write_direct_chunk((20, 16), np.arange(320, dtype=">i2").tobytes())
        undefined = dcpl(chunk=((20, 16),))
        call("H5Pset_fill_value", undefined.id, h5t.STD_I32LE.id, ctypes.c_void_p())
        dataset(f.id, b"undefined fill", image, dcpl_=undefined)


def main():
    folder, names = sys.argv[1], sys.argv[2:] or list(CASES)
    os.makedirs(folder, exist_ok=True)
    for name in names:
        CASES[name].make(os.path.join(folder, name + ".h5"))
        print(name)


if __name__ == "__main__":
    main()
