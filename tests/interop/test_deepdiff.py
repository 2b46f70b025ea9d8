#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""deepdiff.py finds nothing between a file and itself, and each of many small changes."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5o, h5p, h5s, h5t

import deepdiff
from make_nasty import attribute, dataset, dcpl, plist, set_link_properties

HERE = os.path.dirname(os.path.abspath(__file__))


def remake(f, path, value=None, tid=None, space=None, **settings):
    """Replaces a dataset by one with other settings; its attributes are none."""
    old = f[path].id
    settings.setdefault("chunk", old.get_create_plist().get_chunk()
                        if old.get_create_plist().get_layout() == h5d.CHUNKED else None)
    if settings["chunk"] is None:
        del settings["chunk"]
    else:
        settings["chunk"] = (settings["chunk"],)
    value = f[path][...] if value is None else value
    parent, name = path.rsplit("/", 1)
    space = space or old.get_space()
    tid = tid or old.get_type()
    del f[path]
    return dataset(f[parent or "/"].id, name.encode(), value, tid, space, dcpl(**settings))


def reset(f, path, name, value, **kwargs):
    h5a.delete(f[path].id, name)
    attribute(f[path].id, name, value, **kwargs)


def one_bit(f):
    f["layouts/contiguous"][63, 47, 2] ^= 1


def in_a_compound(f):
    raw = np.zeros(5, "V64")
    d = f["types/compounds"].id
    d.read(h5s.ALL, h5s.ALL, raw, mtype=d.get_type().copy())
    data = bytearray(raw.tobytes())
    data[64 * 3 + 1] ^= 0x80
    d.write(h5s.ALL, h5s.ALL, np.frombuffer(bytes(data), "V64"), mtype=d.get_type().copy())


def masked(f):
    f["layouts/masked"].id.write_direct_chunk((0,), __import__("zlib").compress(b"\1\2\3\4"), 0)


def phase(f):
    made = plist(h5p.GROUP_CREATE, attr_phase_change=(5, 4))
    set_link_properties(made, 4, 2, 20, 30)
    del f["links/phase"]
    g = h5g.create(f["links"].id, b"phase", gcpl=made)
    for i in range(6):
        h5g.create(g, b"%d" % i)


def reorder(f):
    del f["links/ordered/z"]
    h5g.create(f["links/ordered"].id, b"z")
    attribute(f["links/ordered/z"].id, b"none", np.int8(1))
    h5a.delete(f["links/ordered/z"].id, b"none")


def transient(f):
    remake(f, "types/ints", tid=h5t.STD_I32BE)


def retarget(f):
    f["references/objects"][1] = f["types/more ints"].ref


def region(f):
    f["references/regions"][0] = f["layouts/contiguous"].regionref[3:9:2, :5, 2]


def second_copy(f):
    del f["links/again"]
    f.copy("links/target", "links/again")


def character_set(f):
    del f["links/soft"]
    group = f["links"].id
    group.links.create_soft(b"soft", b"/links/target",
                            lcpl=plist(h5p.LINK_CREATE, char_encoding=h5t.CSET_UTF8))


def user_block(f):
    pass  # by patch()


CHANGES = [
    ("one bit", one_bit, "/layouts/contiguous: value at (63, 47, 2)"),
    ("in a hole of a compound", in_a_compound, "/types/compounds: value at (3,)"),
    ("a string", lambda f: f["strings/many"].__setitem__(19999, b"?"),
     "/strings/many: value at (19999,)"),
    ("a sequence", lambda f: f["strings/ragged"].__setitem__(4, np.arange(27)),
     "/strings/ragged: value at (4,)"),
    ("a written chunk", lambda f: f["references/unwritten"].__setitem__(17, f["types"].ref),
     "/references/unwritten: stored chunks"),
    ("a filter mask", masked, "/layouts/masked: filter masks"),
    ("an object", lambda f: f.__delitem__("layouts/velox"), "/layouts/velox: object"),
    ("a new object", lambda f: f.create_group("new"), "/new: object"),
    ("kind of object", lambda f: (f.__delitem__("spaces/zero"), f.create_group("spaces/zero")),
     "/spaces/zero: kind of object"),
    ("a comment", lambda f: h5o.set_comment(f["links"].id, b"a commented groop"), "/links: comment"),
    ("a soft link", lambda f: (f.__delitem__("links/soft"),
                               f["links"].__setitem__("soft", h5py.SoftLink("/links/targat"))),
     "link b'soft'"),
    ("an external link", lambda f: (
        f.__delitem__("links/external"),
        f["links"].__setitem__("external", h5py.ExternalLink("elsewhere.h5", "/thera"))),
     "link b'external'"),
    ("soft to hard", lambda f: (f.__delitem__("links/soft"),
                                f["links"].__setitem__("soft", f["links/target"])),
     "link b'soft'"),
    ("a copy for a hard link", second_copy, "/links/again"),
    ("link character set", character_set, "link b'soft'"),
    ("a link in a crowd", lambda f: f.__delitem__("links/crowd/1234"), "link b'1234'"),
    ("order of links", reorder, "/links/ordered: order of links"),
    ("link phase change", phase, "/links/phase: link phase change"),
    ("an attribute", lambda f: h5a.delete(f["attributes"].id, b"zero"), "/attributes: attributes"),
    ("an attribute's value", lambda f: reset(f, "attributes", b"60 kB",
                                             np.r_[np.arange(59999), 7].astype("u1")),
     "attribute b'60 kB': value"),
    ("an attribute's type", lambda f: reset(f, "attributes", b"big endian",
                                            np.arange(5, dtype="<f8")),
     "attribute b'big endian': type"),
    ("an attribute's shape", lambda f: reset(f, "attributes", b"zero", np.zeros((0, 4), "i4")),
     "attribute b'zero': dataspace"),
    ("an attribute's committed type", lambda f: reset(f, "attributes", b"committed", np.int32(5),
                                                      tid=h5t.STD_I32BE),
     "attribute b'committed': type"),
    ("null to scalar", lambda f: reset(f, "attributes", b"empty", np.float32(0)),
     "attribute b'empty': dataspace"),
    ("order of attributes", lambda f: reset(f, "attributes/many", b"0", np.int32(0)),
     "/attributes/many: order of attributes"),
    ("attribute character set", lambda f: reset(f, "attributes", "nämé".encode(), np.int8(4)),
     "character set"),
    ("an attribute on the root", lambda f: reset(f, "/", b"a on the root", np.float64(0.2)),
     "/: attribute b'a on the root': value"),
    ("an attribute of a type", lambda f: reset(f, "types/number", b"unit", np.bytes_("pixal")),
     "attribute b'unit': value"),
    ("committed to transient", transient, "/types/ints: type"),
    ("byte order", lambda f: remake(f, "types/big endian", tid=h5t.STD_I64LE),
     "/types/big endian: type"),
    ("precision", lambda f: remake(f, "types/20 bits", tid=h5t.STD_U32LE), "/types/20 bits: type"),
    ("string padding", lambda f: remake(f, "strings/nullterm",
                                        tid=f["strings/nullpad"].id.get_type()),
     "/strings/nullterm: type"),
    ("limits", lambda f: remake(f, "spaces/growing",
                                space=h5s.create_simple((7, 5), (h5s.UNLIMITED, 10))),
     "/spaces/growing: dataspace"),
    ("a fill value", lambda f: remake(f, "fills/user", np.zeros(0), space=h5s.create_simple((4,)),
                                      fill_value=np.array(123456788, "<i4")),
     "/fills/user: fill value"),
    ("fill value to default", lambda f: remake(f, "fills/user", np.zeros(0)),
     "/fills/user: fill value defined"),
    ("fill time", lambda f: remake(f, "layouts/velox", fill_time=h5d.FILL_TIME_ALLOC,
                                   alloc_time=h5d.ALLOC_TIME_INCR),
     "/layouts/velox: fill time"),
    ("allocation time", lambda f: remake(f, "layouts/velox", fill_time=h5d.FILL_TIME_NEVER,
                                         alloc_time=h5d.ALLOC_TIME_LATE),
     "/layouts/velox: allocation time"),
    ("space allocated", lambda f: f["layouts/contiguous never written"].__setitem__((0, 0), 0),
     "/layouts/contiguous never written: space allocated"),
    ("layout", lambda f: remake(f, "layouts/compact"), "/layouts/compact: layout"),
    ("chunks", lambda f: remake(f, "layouts/tiny chunks", chunk=(2,)), "/layouts/tiny chunks: chunks"),
    ("filters", lambda f: remake(f, "layouts/tiny chunks", deflate=1),
     "/layouts/tiny chunks: filters"),
    ("an object reference", retarget, "/references/objects: value at (1,)"),
    ("a region", region, "/references/regions: value at (0,)"),
    ("the user block", user_block, "(file): user block"),
]

# Storage that a repack may change: no difference with --storage-may-differ.
ALLOWED = [
    ("other chunks", lambda f: remake(f, "layouts/tiny chunks", chunk=(7,))),
    ("other filters", lambda f: remake(f, "layouts/velox", deflate=1, shuffle=(),
                                       fill_time=h5d.FILL_TIME_NEVER,
                                       alloc_time=h5d.ALLOC_TIME_INCR)),
    ("contiguous to chunked", lambda f: remake(f, "layouts/contiguous", chunk=(64, 48, 1),
                                               alloc_time=h5d.ALLOC_TIME_LATE)),
]


def change(nasty, make):
    shutil.copy(nasty, "changed.h5")
    with h5py.File("changed.h5", "r+") as f:
        make(f)
    if make is user_block:
        with open("changed.h5", "r+b") as f:
            f.seek(100)
            f.write(b"!")


def main():
    nasty = "nasty.h5"
    subprocess.run([sys.executable, os.path.join(HERE, "make_nasty.py"), nasty], check=True)
    failures = 0

    def fail(what):
        nonlocal failures
        failures += 1
        print("FAILED:", what)

    shutil.copy(nasty, "same.h5")
    found = deepdiff.compare(nasty, "same.h5")
    if found:
        fail("a file differs from itself: %s" % found[:3])
    for name, make, expected in CHANGES:
        change(nasty, make)
        found = deepdiff.compare(nasty, "changed.h5")
        if not any(expected in difference for difference in found):
            fail("%s: expected %r, found %s" % (name, expected, found[:5]))
    for name, make in ALLOWED:
        change(nasty, make)
        path = "references"  # regions and references to a remade dataset dangle
        found = [d for d in deepdiff.compare(nasty, "changed.h5", storage_may_differ=True)
                 if path not in d]
        if found:
            fail("%s: found %s" % (name, found[:5]))
        if not [d for d in deepdiff.compare(nasty, "changed.h5") if path not in d]:
            fail("%s: found nothing without the option" % name)
    change(nasty, lambda f: f.attrs.__setitem__("emdrepack", "x"))
    if deepdiff.compare(nasty, "changed.h5", ignore_root_attributes=["emdrepack"]):
        fail("an ignored attribute was found")
    result = subprocess.run([sys.executable, os.path.join(HERE, "deepdiff.py"), nasty,
                             "changed.h5"], stdout=subprocess.PIPE)
    if result.returncode != 1 or b"emdrepack" not in result.stdout:
        fail("the command line's answer: %s" % result)
    print("%d changes, %d failures" % (len(CHANGES) + len(ALLOWED) + 1, failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
