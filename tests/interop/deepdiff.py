#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""deepdiff.py OLD NEW: is NEW a faithful copy of OLD?

Compares two HDF5 files object by object, down to what h5diff does not see: kinds and targets of
links, hard-link identity, creation orders, committed types, byte orders, attributes of every kind,
limits, fill and allocation settings, layouts, filters, chunks never written, references (by the path
of what they refer to), comments, the user block. Values are compared as bytes; variable-length ones
element by element.

  --storage-may-differ           numeric datasets may have other chunks, filters and layout
  --ignore-root-attribute NAME   an attribute of the root group that one file may lack (repeatable)

Prints each difference as "PATH: WHAT: OLD != NEW". Exit: 0 the same, 1 differences, 2 trouble.
Not compared, being storage: times, superblock, object header versions, kinds of chunk index.
"""
import argparse
import ctypes
import os
import struct
import sys

import h5py
import numpy as np
from h5py import h5, h5a, h5d, h5f, h5g, h5l, h5o, h5p, h5s, h5t, h5z

BLOCK = 32 << 20  # bytes of values compared at a time


class Library:
    """Functions of the loaded HDF5 that h5py has no counterpart for."""

    def __init__(self):
        with open("/proc/self/maps") as maps:
            path = next(line.split()[-1] for line in maps
                        if "/libhdf5" in line and "_hl" not in line)
        self.lib = ctypes.CDLL(path)
        self.declare("H5Pget_link_phase_change", 2)
        self.declare("H5Pget_est_link_info", 2)
        for name, arguments, result in (
                ("H5Pget_fill_value", [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p],
                 ctypes.c_int),
                ("H5Oget_comment", [ctypes.c_int64, ctypes.c_char_p, ctypes.c_size_t],
                 ctypes.c_ssize_t),
                ("H5Rget_region", [ctypes.c_int64, ctypes.c_int, ctypes.c_void_p], ctypes.c_int64),
                ("H5Rdereference2", [ctypes.c_int64, ctypes.c_int64, ctypes.c_int,
                                     ctypes.c_void_p], ctypes.c_int64)):
            function = getattr(self.lib, name)
            function.argtypes, function.restype = arguments, result

    def declare(self, name, numbers):
        getattr(self.lib, name).argtypes = [ctypes.c_int64] + [ctypes.c_void_p] * numbers

    def comment(self, obj):
        n = self.lib.H5Oget_comment(obj.id, None, 0)
        assert n >= 0
        buffer = ctypes.create_string_buffer(n + 1)
        self.lib.H5Oget_comment(obj.id, buffer, n + 1)
        return buffer.value

    def pair(self, name, plist):
        a, b = ctypes.c_uint(), ctypes.c_uint()
        assert getattr(self.lib, name)(plist.id, ctypes.byref(a), ctypes.byref(b)) >= 0
        return a.value, b.value


LIBRARY = Library()


def text(name):
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name


class File:
    """One file, its objects by address, each under the path that a walk finds first."""

    def __init__(self, path):
        self.path = path
        self.id = h5f.open(os.fsencode(path), h5f.ACC_RDONLY)
        root = h5g.open(self.id, b"/")
        self.names = {h5o.get_info(root).addr: "/"}  # address -> path
        self.objects = {"/": root}
        self.links = {}  # path of group -> {name: description}
        queue = ["/"]
        while queue:
            path = queue.pop(0)
            self.links[path] = {}
            group = self.objects[path]
            names = []
            group.links.iterate(names.append)
            for name in sorted(names):
                self.links[path][name] = self.describe_link(group, path, name, queue)

    def describe_link(self, group, path, name, queue):
        info = group.links.get_info(name)
        if info.type == h5l.TYPE_HARD:
            obj = h5o.open(group, name)
            address = h5o.get_info(obj).addr
            if address not in self.names:
                child = path.rstrip("/") + "/" + text(name)
                self.names[address] = child
                self.objects[child] = obj
                if isinstance(obj, h5g.GroupID):
                    queue.append(child)
            target = ("hard link to", self.names[address])
        elif info.type in (h5l.TYPE_SOFT, h5l.TYPE_EXTERNAL):
            target = ("soft link to" if info.type == h5l.TYPE_SOFT else "external link to",
                      group.links.get_val(name))
        else:
            target = ("link of class", info.type)
        return target + (("ascii", "utf-8")[info.cset],)

    def name_of(self, obj):
        return self.names.get(h5o.get_info(obj).addr, "an object without a name")

    def user_block(self):
        size = self.id.get_create_plist().get_userblock()
        with open(self.path, "rb") as f:
            return f.read(size)


def is_number(tid):
    return tid.get_class() in (h5t.INTEGER, h5t.FLOAT) or is_number_pair(tid)


def is_number_pair(tid):
    """A compound of numbers (complex values are one) and arrays of numbers count as numeric."""
    kind = tid.get_class()
    if kind == h5t.COMPOUND:
        return all(is_number(tid.get_member_type(i)) for i in range(tid.get_nmembers()))
    return kind in (h5t.ARRAY, h5t.ENUM) and is_number(tid.get_super())


def describe_type(file, tid):
    """A type as nested tuples: all that HDF5 lets one ask."""
    kind = tid.get_class()
    mark = (file.name_of(tid),) if tid.committed() else ()
    if kind == h5t.INTEGER:
        what = ("integer", tid.get_order(), tid.get_sign(), tid.get_precision(), tid.get_offset(),
                tid.get_pad())
    elif kind == h5t.FLOAT:
        what = ("float", tid.get_order(), tid.get_precision(), tid.get_offset(), tid.get_pad(),
                tid.get_fields(), tid.get_ebias(), tid.get_norm(), tid.get_inpad())
    elif kind in (h5t.BITFIELD, h5t.TIME):
        what = ("bitfield or time", kind, tid.encode())
    elif kind == h5t.STRING:
        what = ("string", tid.is_variable_str(), tid.get_cset(), tid.get_strpad())
    elif kind == h5t.OPAQUE:
        what = ("opaque", tid.get_tag())
    elif kind == h5t.REFERENCE:
        what = ("reference", bool(tid.equal(h5t.STD_REF_OBJ)),
                bool(tid.equal(h5t.STD_REF_DSETREG)))
    elif kind == h5t.ENUM:
        what = ("enum", describe_type(file, tid.get_super())) + tuple(
            (tid.get_member_name(i), tid.get_member_value(i)) for i in range(tid.get_nmembers()))
    elif kind == h5t.VLEN:
        what = ("sequence", describe_type(file, tid.get_super()))
    elif kind == h5t.ARRAY:
        what = ("array", tid.get_array_dims(), describe_type(file, tid.get_super()))
    elif kind == h5t.COMPOUND:
        what = ("compound",) + tuple(
            (tid.get_member_name(i), tid.get_member_offset(i),
             describe_type(file, tid.get_member_type(i))) for i in range(tid.get_nmembers()))
    else:
        what = ("class", kind)
    return mark + what + (tid.get_size(),)


def has_pointers(tid):
    """Whether elements hold addresses: of memory or of objects."""
    kind = tid.get_class()
    if kind == h5t.COMPOUND:
        return any(has_pointers(tid.get_member_type(i)) for i in range(tid.get_nmembers()))
    if kind == h5t.ARRAY:
        return has_pointers(tid.get_super())
    return kind in (h5t.VLEN, h5t.REFERENCE) or (kind == h5t.STRING and tid.is_variable_str())


def describe_region(file, raw):
    buffer = ctypes.create_string_buffer(raw, len(raw))
    space_id = LIBRARY.lib.H5Rget_region(file.id.id, 1, buffer)
    object_id = LIBRARY.lib.H5Rdereference2(file.id.id, 0, 1, buffer)
    if space_id < 0 or object_id < 0:
        return "a dangling region"
    space, obj = h5s.SpaceID(space_id), h5d.DatasetID(object_id)
    kind = space.get_select_type()
    what = ()
    if kind == h5s.SEL_HYPERSLABS:
        what = tuple(space.get_select_hyper_blocklist().ravel().tolist())
    elif kind == h5s.SEL_POINTS:
        what = tuple(space.get_select_elem_pointlist().ravel().tolist())
    return (file.name_of(obj), space.shape, kind, what)


def parse(file, tid, raw):
    """One element's bytes in memory as something to compare."""
    kind = tid.get_class()
    if kind == h5t.STRING and tid.is_variable_str():
        pointer = int.from_bytes(raw, sys.byteorder)
        return ctypes.string_at(pointer) if pointer else None
    if kind == h5t.VLEN:
        base = tid.get_super()
        n, pointer = struct.unpack("NP", raw)
        data = ctypes.string_at(pointer, n * base.get_size()) if n else b""
        return parse_all(file, base, data)
    if kind == h5t.REFERENCE:
        if not any(raw):
            return "null"
        if len(raw) == 8:
            return file.names.get(int.from_bytes(raw, sys.byteorder), "an unknown object")
        return describe_region(file, raw)
    if kind == h5t.ARRAY:
        return parse_all(file, tid.get_super(), raw)
    if kind == h5t.COMPOUND and has_pointers(tid):
        parts = []
        for i in range(tid.get_nmembers()):
            member, at = tid.get_member_type(i), tid.get_member_offset(i)
            parts.append(parse(file, member, raw[at:at + member.get_size()]))
        return tuple(parts)
    return raw


def parse_all(file, tid, data):
    size = tid.get_size()
    if not has_pointers(tid):
        return data
    return tuple(parse(file, tid, data[i:i + size]) for i in range(0, len(data), size))


class Comparison:
    def __init__(self, old, new, storage_may_differ=False, ignore_root_attributes=(),
                 any_link_count=False):
        self.old, self.new = File(old), File(new)
        self.storage_may_differ = storage_may_differ
        self.any_link_count = any_link_count
        self.ignored = {name.encode() for name in ignore_root_attributes}
        self.differences = []

    def differ(self, path, what, old, new):
        def short(value):
            shown = repr(value)
            return shown if len(shown) < 300 else shown[:300] + "..."
        self.differences.append("%s: %s: %s != %s" % (text(path), what, short(old), short(new)))

    def same(self, path, what, old, new):
        if old != new:
            self.differ(path, what, old, new)
            return False
        return True

    def run(self):
        self.same("(file)", "user block", self.old.user_block(), self.new.user_block())
        for path in sorted(set(self.old.objects) | set(self.new.objects)):
            old, new = self.old.objects.get(path), self.new.objects.get(path)
            if old is None or new is None:
                self.differ(path, "object", old and type(old).__name__, new and type(new).__name__)
            elif self.same(path, "kind of object", type(old).__name__, type(new).__name__):
                self.compare_object(path, old, new)
        return self.differences

    def compare_object(self, path, old, new):
        self.same(path, "comment", LIBRARY.comment(old), LIBRARY.comment(new))
        if not self.any_link_count:
            self.same(path, "number of links", h5o.get_info(old).rc, h5o.get_info(new).rc)
        self.compare_attributes(path, old, new)
        if isinstance(old, h5g.GroupID):
            self.compare_group(path, old, new)
        elif isinstance(old, h5d.DatasetID):
            self.compare_dataset(path, old, new)
        else:
            self.same(path, "type", describe_type(self.old, old), describe_type(self.new, new))

    # ---- groups ----

    def compare_group(self, path, old, new):
        lists = old.get_create_plist(), new.get_create_plist()
        orders = [p.get_link_creation_order() for p in lists]
        self.same(path, "link creation order", *orders)
        for function in ("H5Pget_link_phase_change", "H5Pget_est_link_info"):
            self.same(path, function[7:].replace("_", " "), *(LIBRARY.pair(function, p) for p in lists))
        self.compare_attribute_settings(path, *lists)
        a, b = self.old.links[path], self.new.links[path]
        for name in sorted(set(a) | set(b)):
            self.same(path, "link %r" % name, a.get(name), b.get(name))
        if orders[0] & h5p.CRT_ORDER_TRACKED and orders == [orders[0]] * 2:
            names = [], []
            for group, into in zip((old, new), names):
                group.links.iterate(into.append, idx_type=h5.INDEX_CRT_ORDER)
            self.same(path, "order of links", *names)

    # ---- attributes ----

    def compare_attribute_settings(self, path, old, new):
        self.same(path, "attribute phase change", old.get_attr_phase_change(),
                  new.get_attr_phase_change())
        self.same(path, "attribute creation order", old.get_attr_creation_order(),
                  new.get_attr_creation_order())

    def attribute_names(self, obj, path):
        names = []
        tracked = isinstance(obj, (h5g.GroupID, h5d.DatasetID)) and \
            obj.get_create_plist().get_attr_creation_order()
        h5a.iterate(obj, names.append,
                    index_type=h5.INDEX_CRT_ORDER if tracked else h5.INDEX_NAME)
        if path == "/":
            names = [name for name in names if name not in self.ignored]
        return names

    def compare_attributes(self, path, old, new):
        names = self.attribute_names(old, path), self.attribute_names(new, path)
        if self.same(path, "attributes", *map(sorted, names)):
            self.same(path, "order of attributes", *names)
        for name in sorted(set(names[0]) & set(names[1])):
            where = "%s: attribute %r" % (path, name)
            a, b = h5a.open(old, name), h5a.open(new, name)
            self.same(where, "character set", h5a.get_info(old, name).cset,
                      h5a.get_info(new, name).cset)
            ok = self.same(where, "type", describe_type(self.old, a.get_type()),
                           describe_type(self.new, b.get_type()))
            ok &= self.compare_space(where, a.get_space(), b.get_space())
            if ok:
                self.same(where, "value", self.attribute_value(self.old, a),
                          self.attribute_value(self.new, b))

    @staticmethod
    def attribute_value(file, attribute):
        space, tid = attribute.get_space(), attribute.get_type().copy()
        n = space.get_select_npoints()
        if space.get_simple_extent_type() == h5s.NULL or n == 0:
            return None
        data = np.zeros(space.shape, "V%d" % tid.get_size())
        attribute.read(data, mtype=tid)
        return parse_all(file, tid, data.tobytes())

    # ---- datasets ----

    def compare_space(self, path, old, new):
        return self.same(path, "dataspace", *(
            (s.get_simple_extent_type(),) if s.get_simple_extent_type() == h5s.NULL else
            (s.get_simple_extent_type(), s.shape, s.get_simple_extent_dims(True))
            for s in (old, new)))

    def compare_dataset(self, path, old, new):
        types = old.get_type(), new.get_type()
        ok = self.same(path, "type", *(describe_type(f, t)
                                       for f, t in zip((self.old, self.new), types)))
        ok &= self.compare_space(path, old.get_space(), new.get_space())
        lists = old.get_create_plist(), new.get_create_plist()
        self.compare_attribute_settings(path, *lists)
        self.same(path, "fill time", lists[0].get_fill_time(), lists[1].get_fill_time())
        self.same(path, "allocation time", lists[0].get_alloc_time(), lists[1].get_alloc_time())
        defined = [p.fill_value_defined() for p in lists]
        if self.same(path, "fill value defined", *defined) and ok and defined[0] == 2:
            self.same(path, "fill value", *(self.fill_value(f, p, t) for f, p, t in
                                            zip((self.old, self.new), lists, types)))
        layouts = [p.get_layout() for p in lists]
        free = self.storage_may_differ and is_number(types[0]) and h5d.COMPACT not in layouts
        if not free:
            self.same(path, "layout", *layouts)
        chunked = layouts == [h5d.CHUNKED] * 2
        if chunked and not free:
            self.same(path, "chunks", lists[0].get_chunk(), lists[1].get_chunk())
            self.same(path, "filters", *([p.get_filter(i) for i in range(p.get_nfilters())]
                                         for p in lists))
        self.same(path, "external files", *(self.external(p) for p in lists))
        if layouts == [h5d.VIRTUAL] * 2:
            self.same(path, "virtual sources", *(self.mappings(p) for p in lists))
            return  # its values are those of other datasets
        if not ok or old.get_space().get_simple_extent_type() == h5s.NULL:
            return
        if chunked and not all(h5z.filter_avail(p.get_filter(i)[0])
                               for p in lists for i in range(p.get_nfilters())):
            self.compare_stored_bytes(path, old, new)
            return
        if chunked and lists[0].get_chunk() == lists[1].get_chunk():
            self.compare_allocation(path, old, new, free)
        elif layouts == [h5d.CONTIGUOUS] * 2:
            if old.get_space().get_select_npoints():
                self.same(path, "space allocated", old.get_space_status(),
                          new.get_space_status())
        self.compare_values(path, old, new, lists[0], types[0])

    @staticmethod
    def external(plist):
        count = plist.get_external_count() if plist.get_layout() == h5d.CONTIGUOUS else 0
        return [plist.get_external(i) for i in range(count)]

    @staticmethod
    def mappings(plist):
        def selection(space):
            kind = space.get_select_type()
            if kind == h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
                return space.get_regular_hyperslab()  # of any length, also without end
            return kind, space.get_select_npoints() if kind != h5s.SEL_ALL else None
        return [(plist.get_virtual_filename(i), plist.get_virtual_dsetname(i),
                 selection(plist.get_virtual_vspace(i)), selection(plist.get_virtual_srcspace(i)))
                for i in range(plist.get_virtual_count())]

    def compare_stored_bytes(self, path, old, new):
        """Of chunks that cannot be decoded here."""
        a, b = self.stored_chunks(old), self.stored_chunks(new)
        if self.same(path, "stored chunks and masks", a, b):
            for at in a:
                self.same(path, "stored chunk at %s" % (at,), old.read_direct_chunk(at),
                          new.read_direct_chunk(at))

    @staticmethod
    def fill_value(file, plist, tid):
        mine = tid.copy()
        buffer = ctypes.create_string_buffer(mine.get_size())
        if LIBRARY.lib.H5Pget_fill_value(plist.id, mine.id, buffer) < 0:
            return "unreadable"
        return parse_all(file, mine, buffer.raw)

    @staticmethod
    def stored_chunks(dataset):
        return {info.chunk_offset: info.filter_mask for info in
                map(dataset.get_chunk_info, range(dataset.get_num_chunks()))}

    def compare_allocation(self, path, old, new, free):
        a, b = self.stored_chunks(old), self.stored_chunks(new)
        self.same(path, "stored chunks", sorted(a), sorted(b))
        if not free:
            self.same(path, "filter masks", a, b)

    def compare_values(self, path, old, new, plist, tid):
        """Stored chunks first to last; what was never written only where it reads as the fill value
        and the new file could have made it something else."""
        space = old.get_space()
        if space.get_select_npoints() == 0:
            return
        if plist.get_layout() == h5d.CHUNKED:
            chunk, shape = plist.get_chunk(), space.shape
            stored = sorted(self.stored_chunks(old))
            for at in stored:
                count = tuple(min(c, s - a) for a, c, s in zip(at, chunk, shape))
                if not self.compare_box(path, old, new, tid, at, count):
                    return
            never = plist.get_fill_time() == h5d.FILL_TIME_NEVER
            grid = np.prod([-(-s // c) for s, c in zip(shape, chunk)], dtype=object)
            if never or len(stored) == grid:
                return
            same_grid = new.get_create_plist().get_layout() == h5d.CHUNKED and \
                new.get_create_plist().get_chunk() == chunk
            if same_grid and stored == sorted(self.stored_chunks(new)):
                return
        elif plist.get_layout() == h5d.CONTIGUOUS and old.get_space_status() == h5d.SPACE_STATUS_NOT_ALLOCATED and \
                plist.get_fill_time() == h5d.FILL_TIME_NEVER:
            return
        shape = space.shape
        if not shape:
            self.compare_box(path, old, new, tid, (), ())
            return
        rows = max(1, BLOCK // max(1, tid.get_size() * int(np.prod(shape[1:], dtype=object))))
        for at in range(0, shape[0], rows):
            count = (min(rows, shape[0] - at),) + shape[1:]
            if not self.compare_box(path, old, new, tid, (at,) + (0,) * (len(shape) - 1), count):
                return

    def compare_box(self, path, old, new, tid, at, count):
        values = []
        for file, dataset in ((self.old, old), (self.new, new)):
            mine = dataset.get_type().copy()
            space = dataset.get_space()
            memory = h5s.create_simple(count) if count else h5s.create(h5s.SCALAR)
            if count:
                space.select_hyperslab(at, count)
            data = np.zeros(count, "V%d" % mine.get_size())
            dataset.read(memory, space, data, mtype=mine)
            raw = data.tobytes()
            values.append(parse_all(file, mine, raw) if has_pointers(mine) else raw)
        if values[0] == values[1]:
            return True
        size = tid.get_size() if isinstance(values[0], bytes) else 1
        n = len(values[0]) // size
        first = next(i for i in range(n)
                     if values[0][i * size:i * size + size] != values[1][i * size:i * size + size])
        where = tuple(a + int(i) for a, i in zip(at, np.unravel_index(first, count))) if count else ()
        self.differ(path, "value at %s" % (where,), values[0][first * size:first * size + size],
                    values[1][first * size:first * size + size])
        return False


def compare(old, new, **options):
    """The differences of two files, a text each."""
    return Comparison(old, new, **options).run()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--storage-may-differ", action="store_true")
    parser.add_argument("--ignore-root-attribute", action="append", default=[], metavar="NAME")
    parser.add_argument("--any-link-count", action="store_true",
                        help="of a damaged file: the count that it stores need not be true")
    args = parser.parse_args()
    try:
        found = compare(args.old, args.new, storage_may_differ=args.storage_may_differ,
                        ignore_root_attributes=args.ignore_root_attribute,
                        any_link_count=args.any_link_count)
    except (OSError, RuntimeError, KeyError) as error:
        print("deepdiff: cannot compare: %s" % error, file=sys.stderr)
        return 2
    for difference in found:
        print(difference.encode("utf-8", "backslashreplace").decode())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
