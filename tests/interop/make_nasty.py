#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""make_nasty.py OUT.h5: a file with everything that a faithful copy may lose.

Written with h5py's low level, so that old and new object formats, every link kind, attribute size,
type class, layout, fill setting and reference stand side by side.

  --libver earliest|latest   format of the objects (default: earliest)
  --user-block N             bytes of user block (default 2048; 0: none)
  --small                    without what takes many bytes: most of them are structure then
  --only NAME                a file with one thing that is refused or remarked upon: virtual,
                             external-data, user-link, dangling-reference, dangling-region, fill-reference,
                             unlinked-reference, deep, unknown-filter, bad-name
"""
import argparse
import ctypes
import os

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5p, h5r, h5s, h5t

PARTS = ("virtual", "virtual-pattern", "external-data", "user-link", "dangling-reference",
         "dangling-region", "fill-reference", "unlinked-reference", "deep", "unknown-filter",
         "bad-name")


def plist(kind, **settings):
    made = h5p.create(kind)
    for name, value in settings.items():
        getattr(made, "set_" + name)(*(value if isinstance(value, tuple) else (value,)))
    return made


def hdf5():
    """The HDF5 that h5py has loaded, for what h5py has no function for."""
    with open("/proc/self/maps") as maps:
        path = next(line.split()[-1] for line in maps if "/libhdf5" in line and "_hl" not in line)
    return ctypes.CDLL(path)


def set_link_properties(list_, compact, dense, links, name_bytes):
    for function, *numbers in ((hdf5().H5Pset_link_phase_change, compact, dense),
                               (hdf5().H5Pset_est_link_info, links, name_bytes)):
        function.argtypes = [ctypes.c_int64, ctypes.c_uint, ctypes.c_uint]
        assert function(list_.id, *numbers) >= 0


def set_raw_fill(list_, tid, value):
    function = hdf5().H5Pset_fill_value
    function.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_char_p]
    assert function(list_.id, tid.id, value) >= 0


def utf8_attribute(obj, name, value):
    """An int8 attribute whose name is marked as UTF-8."""
    lib = hdf5()
    lib.H5Pcreate.argtypes, lib.H5Pcreate.restype = [ctypes.c_int64], ctypes.c_int64
    lib.H5Pset_char_encoding.argtypes = [ctypes.c_int64, ctypes.c_int]
    lib.H5Acreate2.argtypes = [ctypes.c_int64, ctypes.c_char_p] + [ctypes.c_int64] * 4
    lib.H5Acreate2.restype = ctypes.c_int64
    settings = lib.H5Pcreate(ctypes.c_int64.in_dll(lib, "H5P_CLS_ATTRIBUTE_CREATE_ID_g").value)
    assert lib.H5Pset_char_encoding(settings, 1) >= 0  # H5T_CSET_UTF8
    scalar = h5s.create(h5s.SCALAR)
    made = lib.H5Acreate2(obj.id, name, h5t.STD_I8LE.id, scalar.id, settings, 0)
    assert made >= 0
    h5a.AttrID(made).write(np.array(value, "i1"))


def dcpl(**settings):
    return plist(h5p.DATASET_CREATE, **settings)


def variable_string(cset=h5t.CSET_ASCII, pad=h5t.STR_NULLTERM):
    made = h5t.C_S1.copy()
    made.set_size(h5t.VARIABLE)
    made.set_cset(cset)
    made.set_strpad(pad)
    return made


def fixed_string(n, pad=h5t.STR_NULLPAD, cset=h5t.CSET_ASCII):
    made = h5t.C_S1.copy()
    made.set_size(n)
    made.set_strpad(pad)
    made.set_cset(cset)
    return made


def attribute(obj, name, value, tid=None, space=None):
    """An attribute by the low level: name is bytes, kept in their own character set."""
    value = np.asarray(value, order="C")
    tid = tid if tid is not None else h5t.py_create(value.dtype)
    space = space if space is not None else (
        h5s.create_simple(value.shape) if value.shape else h5s.create(h5s.SCALAR))
    made = h5a.create(obj, name, tid, space)
    if space.get_simple_extent_type() != h5s.NULL and value.size:
        made.write(value)


def dataset(group, name, value, tid=None, space=None, dcpl_=None, raw=False):
    """raw: the bytes of 'value' are those of 'tid', whatever numpy thinks they are."""
    value = np.asarray(value, order="C")
    tid = tid if tid is not None else h5t.py_create(value.dtype, logical=True)
    space = space if space is not None else (
        h5s.create_simple(value.shape) if value.shape else h5s.create(h5s.SCALAR))
    made = h5d.create(group, name, tid, space, dcpl_)
    if value.size:
        made.write(h5s.ALL, h5s.ALL, value, mtype=tid if raw else None)
    return made


def as_file(obj):
    """The high level's view of the same open file."""
    return h5py.File(h5py.h5i.get_file_id(obj))


def make_types(root):
    g = h5g.create(root, b"types")
    number = h5t.STD_I32BE.copy()
    number.commit(g, b"number", plist(h5p.LINK_CREATE))
    attribute(number, b"unit", np.bytes_("pixel"))
    attribute(number, b"made of itself", np.int32(7), number)
    h5o.set_comment(number, b"a committed number")

    enum = h5t.enum_create(h5t.STD_I16LE)
    for i, name in enumerate((b"red", b"green", b"b\xc3\xa5")):
        enum.enum_insert(name, i * 1000 - 1)
    enum.commit(g, b"enum", plist(h5p.LINK_CREATE))
    opaque = h5t.create(h5t.OPAQUE, 7)
    opaque.set_tag(b"seven bytes")

    inner = h5t.create(h5t.COMPOUND, 24)
    inner.insert(b"a", 1, h5t.STD_I16BE)  # with holes before, between and behind
    inner.insert(b"b", 8, h5t.array_create(h5t.IEEE_F32BE, (3,)))
    outer = h5t.create(h5t.COMPOUND, 64)
    outer.insert(b"inner", 0, inner)
    outer.insert(b"colour", 24, enum)
    outer.insert(b"blob", 26, opaque)
    outer.insert(b"number", 36, number)
    outer.insert(b"text", 40, fixed_string(5))
    outer.insert(b"bits", 48, h5t.STD_B16LE)
    outer.commit(g, b"outer", plist(h5p.LINK_CREATE))

    dataset(g, b"ints", np.arange(6).reshape(2, 3), number)
    dataset(g, b"more ints", np.arange(3), number)
    dataset(g, b"enums", np.array([-1, 999, 1999], "<i2"), enum)
    compounds = np.frombuffer(np.random.default_rng(1).bytes(64 * 5), dtype="V64")
    dataset(g, b"compounds", compounds, outer, raw=True)
    dataset(g, b"opaque", np.frombuffer(b"0123456" * 4, "V7"), opaque, raw=True)
    dataset(g, b"big endian", np.arange(-8, 8, dtype=">i8").reshape(4, 4))
    dataset(g, b"bits", np.arange(5, dtype="<u2"), h5t.STD_B16LE, raw=True)
    odd = h5t.STD_U32LE.copy()
    odd.set_precision(20)
    odd.set_offset(5)
    odd.set_pad(h5t.PAD_ONE, h5t.PAD_ZERO)
    dataset(g, b"20 bits", np.arange(9, dtype="<u4"), odd)
    dataset(g, b"half", np.arange(4, dtype="<f2"), h5t.IEEE_F16LE)
    dataset(g, b"long double", np.arange(3, dtype=np.longdouble))
    dataset(g, b"time", np.array([1, 2, 3], "<i4"), h5t.UNIX_D32LE, raw=True)
    dataset(g, b"complex", np.array([1 + 2j, 3 - 4j], "<c8"))
    dataset(g, b"bool", np.array([True, False, True]))
    array = h5t.array_create(h5t.array_create(h5t.STD_I8LE, (2,)), (3, 2))
    dataset(g, b"arrays of arrays", np.arange(24, dtype="i1").view("V12"), array, raw=True)

    # One committed type that loses its name, but not its users.
    lost = h5t.STD_U16BE.copy()
    lost.commit(g, b"lost", plist(h5p.LINK_CREATE))
    attribute(lost, b"still here", np.float64(2.5))
    dataset(g, b"users of lost", np.arange(4), lost)
    dataset(g, b"other users of lost", np.arange(5), lost)
    attribute(g, b"of the lost type", np.uint16(3), lost)
    g.unlink(b"lost")
    # And one that only an attribute uses.
    gone = h5t.STD_I8BE.copy()
    gone.commit(g, b"gone", plist(h5p.LINK_CREATE))
    attribute(g, b"of the gone type", np.int8(-3), gone)
    g.unlink(b"gone")


def make_strings(root, small):
    g = h5g.create(root, b"strings")
    text = np.array([b"one", b"", "zwölf".encode(), b"x" * (100 if small else 5000)],
                    dtype=object)
    as_bytes = h5py.string_dtype("ascii")
    for name, cset in ((b"ascii", h5t.CSET_ASCII), (b"utf8", h5t.CSET_UTF8)):
        made = h5d.create(g, name, variable_string(cset), h5s.create_simple((4,)))
        made.write(h5s.ALL, h5s.ALL, np.asarray(text, dtype=as_bytes), mtype=variable_string(cset))
    # Never written: null pointers.
    h5d.create(g, b"nulls", variable_string(), h5s.create_simple((3,)))
    rows = 50 if small else 20000
    many = np.asarray([b"%d" % i * (i % 50) for i in range(rows)],
                      dtype=as_bytes)
    dataset(g, b"many", many, variable_string(), h5s.create_simple((rows,)),
            dcpl(chunk=((rows // 20,),)))
    big = np.asarray([b"y" * (70 if small else 3_000_000), b"z"], dtype=as_bytes)
    dataset(g, b"large", big, variable_string(), h5s.create_simple((2,)))
    for name, pad in ((b"nullterm", h5t.STR_NULLTERM), (b"nullpad", h5t.STR_NULLPAD),
                      (b"spacepad", h5t.STR_SPACEPAD)):
        dataset(g, name, np.array([b"abc", b"de", b""], "S6"), fixed_string(6, pad))
    scalar = h5d.create(g, b"scalar", variable_string(h5t.CSET_UTF8), h5s.create(h5s.SCALAR))
    scalar.write(h5s.ALL, h5s.ALL, np.asarray("päivää".encode(), dtype=as_bytes),
                 mtype=variable_string(h5t.CSET_UTF8))
    hg = as_file(root)["strings"]
    ragged = hg.create_dataset("ragged", (5,), h5py.vlen_dtype(">i4"), chunks=(2,),
                               maxshape=(None,), compression="gzip", shuffle=True)
    for i in (0, 1, 4):
        ragged[i] = np.arange(i * 7, dtype="i4")
    inner = np.empty(2, dtype=object)
    inner[0], inner[1] = np.array([1, 2], "u1"), np.array([3], "u1")
    hg.create_dataset("ragged of ragged", (2,), h5py.vlen_dtype(h5py.vlen_dtype("u1")))[0] = inner
    mixed = np.dtype([("n", "<i4"), ("s", h5py.string_dtype()), ("v", h5py.vlen_dtype("<f8")),
                      ("t", "S3")])
    rows = hg.create_dataset("mixed", (4,), mixed)
    values = np.zeros(4, mixed)
    for i in range(4):
        values[i] = (i, "s%d" % i, np.arange(i, dtype="f8"), b"t%d" % i)
    rows[...] = values


def make_spaces(root):
    g = h5g.create(root, b"spaces")
    null = h5d.create(g, b"null", h5t.STD_I32LE, h5s.create(h5s.NULL))
    attribute(null, b"null", 0, h5t.IEEE_F64LE, h5s.create(h5s.NULL))
    dataset(g, b"scalar", np.float32(1.5))
    dataset(g, b"zero", np.zeros((3, 0, 2), "f4"))
    h5d.create(g, b"zero growing", h5t.STD_I16LE, h5s.create_simple((0, 5), (h5s.UNLIMITED, 5)),
               dcpl(chunk=((4, 5),)))
    dataset(g, b"growing", np.arange(35, dtype="<i2").reshape(7, 5),
            space=h5s.create_simple((7, 5), (h5s.UNLIMITED, 9)), dcpl_=dcpl(chunk=((4, 3),)))
    dataset(g, b"rank 32", np.zeros((1,) * 30 + (2, 2), "u1"))
    shrunk = dataset(g, b"shrunk", np.arange(100, dtype="<i2").reshape(10, 10),
                     space=h5s.create_simple((10, 10), (20, 20)), dcpl_=dcpl(chunk=((4, 4),)))
    shrunk.set_extent((5, 7))


def make_layouts(root):
    g = h5g.create(root, b"layouts")
    image = np.random.default_rng(2).integers(-40, 40, (64, 48, 3)).astype("<i2")
    compact = dcpl()
    compact.set_layout(h5d.COMPACT)
    dataset(g, b"compact", image[:8, :8, 0], dcpl_=compact)
    dataset(g, b"contiguous", image)
    h5d.create(g, b"contiguous never written", h5t.STD_I16LE, h5s.create_simple((10, 10)))
    early = dcpl(alloc_time=h5d.ALLOC_TIME_EARLY)
    h5d.create(g, b"contiguous early", h5t.STD_I16LE, h5s.create_simple((10, 10)), early)
    dataset(g, b"velox", image, dcpl_=dcpl(chunk=((64, 48, 1),), fill_time=h5d.FILL_TIME_NEVER,
                                           alloc_time=h5d.ALLOC_TIME_INCR))
    for fill_name, fill_time in (("never", h5d.FILL_TIME_NEVER), ("alloc", h5d.FILL_TIME_ALLOC),
                                 ("ifset", h5d.FILL_TIME_IFSET)):
        for alloc_name, alloc in (("early", h5d.ALLOC_TIME_EARLY), ("late", h5d.ALLOC_TIME_LATE),
                                  ("incr", h5d.ALLOC_TIME_INCR)):
            made = h5d.create(g, ("chunked %s %s" % (fill_name, alloc_name)).encode(),
                              h5t.STD_I32BE, h5s.create_simple((10, 10)),
                              dcpl(chunk=((3, 4),), fill_time=fill_time, alloc_time=alloc,
                                   fill_value=np.array(-7, "i4")))
            some = h5s.create_simple((10, 10))
            some.select_hyperslab((4, 5), (2, 3))
            made.write(h5s.create_simple((2, 3)), some, np.arange(6, dtype="i4").reshape(2, 3))
    gzip = dcpl(chunk=((16, 16, 2),), shuffle=())
    gzip.set_deflate(4)
    gzip.set_fletcher32()
    dataset(g, b"filtered", image, dcpl_=gzip)
    tiny = dcpl(chunk=((1,),))
    dataset(g, b"tiny chunks", np.arange(50, dtype="<u4"),
            space=h5s.create_simple((50,), (h5s.UNLIMITED,)), dcpl_=tiny)
    offset = dcpl(chunk=((100,),))
    offset.set_scaleoffset(h5py.h5z.SO_INT, 0)
    dataset(g, b"scaleoffset", np.arange(300, dtype="<i4") % 17, dcpl_=offset)
    # A filter that a chunk was stored without.
    masked = h5d.create(g, b"masked", h5t.STD_U8LE, h5s.create_simple((8,)), dcpl(chunk=((4,),),
                                                                                deflate=9))
    masked.write_direct_chunk((0,), b"\1\2\3\4", 1)
    late = dcpl(chunk=((10,),), deflate=6)
    made = h5d.create(g, b"sparse", h5t.IEEE_F64LE,
                      h5s.create_simple((10 ** 6,), (h5s.UNLIMITED,)), late)
    for at in (0, 10 ** 5, 10 ** 6 - 5):
        some = h5s.create_simple((10 ** 6,))
        some.select_hyperslab((at,), (5,))
        made.write(h5s.create_simple((5,)), some, np.arange(5.0))


def make_fills(root):
    g = h5g.create(root, b"fills")
    h5d.create(g, b"default", h5t.STD_I32LE, h5s.create_simple((4,)))
    h5d.create(g, b"user", h5t.STD_I32LE, h5s.create_simple((4,)),
               dcpl(fill_value=np.array(123456789, "<i4")))
    compound = np.dtype([("a", ">i2"), ("b", "<f8")])
    h5d.create(g, b"compound", h5t.py_create(compound), h5s.create_simple((4,)),
               dcpl(fill_value=np.array((-2, 2.5), compound)))
    f = as_file(root)
    f["fills"].create_dataset("text", (3,), h5py.string_dtype(), fillvalue="nothing yet")
    chunked = f["fills"].create_dataset("text in chunks", (6,), h5py.string_dtype(), chunks=(2,),
                                        fillvalue="empty")
    chunked[3] = "full"


def make_links(root, small):
    g = h5g.create(root, b"links")
    utf8 = plist(h5p.LINK_CREATE, char_encoding=h5t.CSET_UTF8)
    target = dataset(g, b"target", np.arange(5))
    g.links.create_hard(b"again", g, b"target")
    g.links.create_hard("nämlich".encode(), g, b"target", lcpl=utf8)
    g.links.create_hard(b"\xff\xfe not utf8", g, b"target")
    g.links.create_hard(b"  spaces and\ttabs\n", g, b"target")
    g.links.create_hard(b"n" * 1000, g, b"target")
    g.links.create_soft(b"soft", b"/links/target")
    g.links.create_soft(b"soft relative", b"../x")
    g.links.create_soft(b"soft to nothing", b"/not/here")
    g.links.create_soft("weich".encode(), "/wöhin".encode(), lcpl=utf8)
    g.links.create_soft(b"soft to itself", b"soft to itself")
    g.links.create_external(b"external", b"elsewhere.h5", b"/there")
    g.links.create_external("äußerlich".encode(), "änderswo.h5".encode(), "/dört".encode(),
                            lcpl=utf8)
    loop = h5g.create(g, b"loop")
    inner = h5g.create(loop, b"inner")
    inner.links.create_hard(b"back", g, b"loop")
    inner.links.create_hard(b"self", loop, b"inner")
    inner.links.create_hard(b"root", root, b".")
    g.links.create_hard(b"type again", root, b"types/number")
    order = plist(h5p.GROUP_CREATE,
                  link_creation_order=h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED,
                  attr_creation_order=h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    ordered = h5g.create(g, b"ordered", gcpl=order)
    for name in (b"z", b"m", b"a", b"dropped", b"k"):
        h5g.create(ordered, name)
        attribute(ordered, name, np.int8(1))
    ordered.unlink(b"dropped")
    h5a.delete(ordered, b"m")
    ordered.links.create_hard(b"b", g, b"target")
    tracked = h5g.create(g, b"tracked", gcpl=plist(h5p.GROUP_CREATE,
                                                   link_creation_order=h5p.CRT_ORDER_TRACKED))
    for i in range(40):
        tracked.links.create_soft(b"%d" % (i * 7919 % 40), b"x")
    phases = plist(h5p.GROUP_CREATE, attr_phase_change=(5, 4))
    set_link_properties(phases, 3, 2, 20, 30)
    phase = h5g.create(g, b"phase", gcpl=phases)
    for i in range(6):
        h5g.create(phase, b"%d" % i)
    crowd = h5g.create(g, b"crowd")
    for i in range(20 if small else 2000):
        crowd.links.create_hard(b"%d" % i, g, b"target")
    h5o.set_comment(g, b"a commented group")
    h5o.set_comment(target, ("comment " * 100).encode())


def make_attributes(root, small):
    g = h5g.create(root, b"attributes")
    f = as_file(root)
    attrs = f["attributes"].attrs
    attrs["text"] = "päivää"
    attrs["texts"] = np.array(["a", "", "ccc"], dtype=h5py.string_dtype())
    attrs["bytes"] = np.bytes_(b"abc\0def")
    attrs["ragged"] = np.array([np.arange(3), np.arange(0), np.arange(5)], dtype=h5py.vlen_dtype("i4"))
    attrs["empty"] = h5py.Empty("f4")
    attrs["compound"] = np.array([(1, 2.5, "x")], [("a", ">i4"), ("b", "f8"),
                                                 ("c", h5py.string_dtype())])
    attribute(g, b"big endian", np.arange(5, dtype=">f8"))
    attribute(g, b"zero", np.zeros((0, 3), "i4"))
    attribute(g, b"\xc3\xa4 in ascii", np.int8(0))
    attribute(g, b"with/slash", np.int8(0))
    utf8_attribute(g, "nämé".encode(), 4)
    attribute(g, b"60 kB", np.arange(60 if small else 60000, dtype="u1"))
    attrs.create("ümlaut", 5)
    number = h5t.open(root, b"types/number")
    attribute(g, b"committed", np.int32(5), number)
    # More than a version 1 header could take at once.
    large = h5d.create(g, b"with a large attribute", h5t.STD_I8LE, h5s.create(h5s.SCALAR),
                       dcpl(attr_creation_order=h5p.CRT_ORDER_TRACKED))
    large.write(h5s.ALL, h5s.ALL, np.array(3, "i1"))
    attribute(large, b"z", np.random.default_rng(3).integers(0, 255, 70_000 if small else 200_000).astype("u1"))
    attribute(large, b"a", np.int8(1))
    grown = h5g.create(g, b"group with a large attribute",
                       gcpl=plist(h5p.GROUP_CREATE, attr_creation_order=h5p.CRT_ORDER_TRACKED))
    attribute(grown, b"large", np.zeros((3, 300) if small else (300, 300), "<f4"))
    many = h5g.create(g, b"many", gcpl=plist(
        h5p.GROUP_CREATE, attr_creation_order=h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED))
    count = 15 if small else 1500
    for i in range(count):
        attribute(many, b"%d" % (i * 7919 % count), np.int32(i))
    some = h5g.create(g, b"some")
    for i in range(10 if small else 100):
        attribute(some, b"%d" % i, np.int32(i))


def make_references(root):
    g = h5g.create(root, b"references")
    f = as_file(root)
    hg = f["references"]
    targets = [f["/"].ref, f["types/ints"].ref, f["types/number"].ref, f["links/loop/inner"].ref,
               h5py.Reference()]
    hg.create_dataset("objects", data=np.array(targets, dtype=h5py.ref_dtype))
    hg["self"] = np.array([hg["objects"].ref], dtype=h5py.ref_dtype)
    hg.attrs["object"] = hg.ref
    image = f["layouts/contiguous"]
    regions = [image.regionref[3:9:2, :5, 1], image.regionref[...],
               f["types/ints"].regionref[1, [0, 2]], h5py.RegionReference()]
    hg.create_dataset("regions", data=np.array(regions, dtype=h5py.regionref_dtype))
    hg.attrs["region"] = regions[0]
    hg.attrs.create("regions", np.array(regions, dtype=h5py.regionref_dtype))
    ragged = hg.create_dataset("ragged", (3,), h5py.vlen_dtype(h5py.ref_dtype))
    ragged[0] = np.array(targets[:3], dtype=h5py.ref_dtype)
    ragged[2] = np.array(targets[3:], dtype=h5py.ref_dtype)
    # The rest as raw bytes: h5py's own conversion of mixed types overruns its buffers.
    objects = np.zeros(5, "V8")
    hg["objects"].id.read(h5s.ALL, h5s.ALL, objects, mtype=h5t.STD_REF_OBJ)
    areas = np.zeros(4, "V12")
    hg["regions"].id.read(h5s.ALL, h5s.ALL, areas, mtype=h5t.STD_REF_DSETREG)
    array = h5t.array_create(h5t.STD_REF_OBJ, (2,))
    dataset(g, b"in arrays", np.frombuffer(objects[1:].tobytes(), "V16"), array,
            dcpl_=dcpl(chunk=((1,),), deflate=1), raw=True)
    inner = h5t.create(h5t.COMPOUND, 20)
    inner.insert(b"number", 0, h5t.STD_I32LE)
    inner.insert(b"object", 4, h5t.STD_REF_OBJ)
    mixed = h5t.create(h5t.COMPOUND, 64)
    mixed.insert(b"number", 1, h5t.STD_I32LE)
    mixed.insert(b"object", 5, h5t.STD_REF_OBJ)
    mixed.insert(b"region", 13, h5t.STD_REF_DSETREG)
    mixed.insert(b"inner", 28, inner)
    mixed.insert(b"sequence", 48, h5t.vlen_create(inner))
    rows, kept = [], []
    for i in range(4):
        o, r = objects[i].tobytes(), areas[i].tobytes()
        items = b"".join(k.to_bytes(4, "little") + objects[k].tobytes() + bytes(8) for k in range(i))
        kept.append(ctypes.create_string_buffer(items, max(len(items), 1)))
        row = bytes(1) + i.to_bytes(4, "little") + o + r
        row = row.ljust(28, b"\0") + i.to_bytes(4, "little") + o
        row = row.ljust(48, b"\0") + i.to_bytes(8, "little")
        rows.append(row + ctypes.addressof(kept[-1]).to_bytes(8, "little"))
    rows = np.frombuffer(b"".join(rows), "V64")
    dataset(g, b"mixed", rows, mixed, dcpl_=dcpl(chunk=((3,),), shuffle=()), raw=True)
    made = h5a.create(g, b"mixed", mixed, h5s.create_simple((4,)))
    made.write(rows, mtype=mixed)
    # Never written chunks of references.
    h5d.create(g, b"unwritten", h5t.STD_REF_OBJ, h5s.create_simple((20,)), dcpl(chunk=((4,),)))


def make_everything(fid, small):
    root = h5g.open(fid, b"/")
    make_types(root)
    make_strings(root, small)
    make_spaces(root)
    make_layouts(root)
    make_fills(root)
    make_links(root, small)
    make_attributes(root, small)
    make_references(root)
    attribute(root, b"z on the root", np.int8(1))
    attribute(root, b"a on the root", np.float64(0.1))
    if not small:
        attribute(root, b"large on the root", np.arange(100000, dtype="<u2"))
    h5o.set_comment(root, b"the root of all")


def make_one(fid, part, path):
    root = h5g.open(fid, b"/")
    order = h5p.CRT_ORDER_TRACKED if part == "user-link" else 0  # makes links messages
    g = h5g.create(root, b"group", gcpl=plist(h5p.GROUP_CREATE, link_creation_order=order))
    f = h5py.File(fid)
    dataset(g, b"data", np.arange(10))
    if part == "virtual":
        layout = h5py.VirtualLayout((10,), "i8")
        layout[:] = h5py.VirtualSource(".", "/group/data", (10,))
        f["group"].create_virtual_dataset("thing", layout)
    elif part == "virtual-pattern":
        # Without end: five rows from each of f-0.h5, f-1.h5, ..., as Eiger detectors write.
        space = h5s.create_simple((0, 10), (h5s.UNLIMITED, 10))
        space.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (5, 1), (5, 10))
        d = h5p.create(h5p.DATASET_CREATE)
        d.set_virtual(space, b"f-%b.h5", b"/data", h5s.create_simple((5, 10)))
        h5d.create(g, b"thing", h5t.STD_I64LE,
                   h5s.create_simple((0, 10), (h5s.UNLIMITED, 10)), d)
    elif part == "external-data":
        d = dcpl()
        d.set_external(b"source.h5.raw", 0, 80)
        h5d.create(g, b"thing", h5t.STD_I64LE, h5s.create_simple((10,)), d)
    elif part == "dangling-reference":
        f["group/thing"] = np.array([f["group/data"].ref], dtype=h5py.ref_dtype)
        del f["group/data"]
    elif part == "dangling-region":
        f["group"].attrs["thing"] = f["group/data"].regionref[2:4]
        del f["group/data"]
    elif part == "fill-reference":
        d = dcpl()
        set_raw_fill(d, h5t.STD_REF_OBJ, (96).to_bytes(8, "little"))
        h5d.create(g, b"thing", h5t.STD_REF_OBJ, h5s.create_simple((10,)), d)
    elif part == "unlinked-reference":
        # A group that holds itself alive after its name is gone.
        f["other"] = np.zeros(1)
        hidden = f.create_group("hidden")
        hidden["self"] = hidden
        f["group"].attrs["thing"] = hidden.ref
        del f["hidden"]
    elif part == "deep":
        at = g
        for i in range(2000):
            at = h5g.create(at, b"thing")
        dataset(at, b"deepest", np.arange(3))
    elif part == "unknown-filter":
        import zlib
        d = dcpl(chunk=((10,),))
        d.set_filter(1, 0, (5,))
        made = h5d.create(g, b"thing", h5t.STD_I64LE, h5s.create_simple((10,)), d)
        made.write_direct_chunk((0,), zlib.compress(np.arange(10).tobytes()))
    elif part in ("user-link", "bad-name"):
        f["group"]["thing"] = h5py.SoftLink("/group/data/0123456789")
    f.flush()


def patch(path, part):
    """What HDF5 would not write itself is made by changing bytes."""
    with open(path, "r+b") as f:
        data = bytearray(f.read())
        if part == "unknown-filter":
            # The filter message of version 1: id, name length, flags, count.
            at = data.index(b"deflate\0")
            data[at - 8:at - 6] = (31999).to_bytes(2, "little")
        elif part == "bad-name":
            at = data.index(b"thing\0")
            data[at:at + 5] = b"th/ng"
        elif part == "user-link":
            # A link message: version, flags, link type 1 (soft), creation order (8), length, name.
            at = data.index(b"thing\x16\0/group/data/0123456789") - 1 - 8 - 1
            assert data[at] == 1
            data[at] = 200
        f.seek(0)
        f.write(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--libver", choices=("earliest", "latest"), default="earliest")
    parser.add_argument("--user-block", type=int, default=2048)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    args = parser.parse_args()
    fapl = h5p.create(h5p.FILE_ACCESS)
    low = h5f.LIBVER_LATEST if args.libver == "latest" else h5f.LIBVER_EARLIEST
    if not args.only and not args.small and args.libver == "earliest":
        low = h5f.LIBVER_V18  # the large attribute on the root group
    fapl.set_libver_bounds(low, h5f.LIBVER_LATEST)
    fcpl = h5p.create(h5p.FILE_CREATE)
    if not args.only:
        fcpl.set_userblock(args.user_block)
        fcpl.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
        fcpl.set_attr_creation_order(h5p.CRT_ORDER_TRACKED)
    fid = h5f.create(os.fsencode(args.out), h5f.ACC_TRUNC, fcpl, fapl)
    if args.only:
        make_one(fid, args.only, args.out)
    else:
        make_everything(fid, args.small)
    fid.close()
    patch(args.out, args.only)
    if not args.only and args.user_block:
        with open(args.out, "r+b") as f:
            f.write((b"#!/bin/sh\nexit 0 # a user block\n" * args.user_block)[:args.user_block])


if __name__ == "__main__":
    main()
