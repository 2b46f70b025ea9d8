# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Whether two HDF5 files hold the same, read by h5py: tree, links, attributes, types and values;
storage (chunks, filters, addresses) does not count.

    deepcompare.py A B [A B]...      a line "same" or "different: where and why" for each pair

As a program it runs in a process of its own, for files on which HDF5 itself may crash. The reading
of a value may fail in both files alike (a damaged variable-length value, say), and a link that the
original lists may not be found in it: that is "the same" only where 'unreadable_alike' says so.
"""

import math
import sys

import h5py
import numpy as np

# The second name where a source has a first one that is not ours.
PROVENANCE = ("emdrepack", "emdrepack.provenance")
MOST_WHOLE = 64 << 20  # bytes


class Different(Exception):
    pass


def same_value(a, b):
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.dtype.hasobject:
            return all(same_value(x, y) for x, y in zip(a.reshape(-1), b.reshape(-1)))
        # Bytes: NaN is like itself, -0 is not 0.
        return a.tobytes() == b.tobytes()
    if isinstance(a, np.void) and isinstance(b, np.void) and a.dtype.names:
        return a.dtype == b.dtype and all(same_value(a[n], b[n]) for n in a.dtype.names)
    if isinstance(a, (h5py.Reference, h5py.RegionReference)):
        return type(a) is type(b) and bool(a) == bool(b)
    if isinstance(a, (np.generic, bytes, str)):
        return type(a) is type(b) and (a == b or (a != a and b != b))
    if isinstance(a, h5py.Empty):
        return isinstance(b, h5py.Empty) and a.dtype == b.dtype
    return a == b


class Comparison:
    def __init__(self, a, b, unreadable_alike):
        self.files = (a, b)
        self.unreadable_alike = unreadable_alike
        self.met = {}

    def read(self, where, get_a, get_b, what):
        """Both values, or None where neither can be read."""
        values = []
        errors = []
        for get in (get_a, get_b):
            try:
                values.append(get())
            except MemoryError:
                raise  # says nothing about the file
            except Exception as e:  # pylint: disable=broad-except
                errors.append(e)
        if not errors:
            return values
        if len(errors) == 2 and self.unreadable_alike:
            return None
        raise Different(f"{where}: {what} cannot be read: {errors[0]}")

    def attributes(self, where, a, b):
        names = [sorted((n for n in x.attrs if not (where == "/" and n in PROVENANCE)), key=ascii)
                 for x in (a, b)]
        if names[0] != names[1]:
            raise Different(f"{where}: attributes {names[0]} and {names[1]}")
        for name in names[0]:
            if a.attrs.get_id(name).get_type() != b.attrs.get_id(name).get_type():
                raise Different(f"{where}: attribute {name} has another type")
            values = self.read(where, lambda n=name: a.attrs[n], lambda n=name: b.attrs[n],
                               f"attribute {name}")
            if values and not same_value(*values):
                raise Different(f"{where}: attribute {name} has another value")

    def datasets(self, where, a, b):
        if a.shape != b.shape or a.maxshape != b.maxshape or a.id.get_type() != b.id.get_type():
            raise Different(f"{where}: another shape or type")
        if a.shape is None:
            return
        # Values that nobody ever wrote are undefined where the fill time is NEVER.
        if a.id.get_create_plist().get_fill_time() == h5py.h5d.FILL_TIME_NEVER and \
                a.id.get_storage_size() == 0:
            return
        for where_in, part in self.parts(where, a, b):
            values = self.read(where, lambda p=part: a[p], lambda p=part: b[p], "its data")
            if values and not same_value(*values):
                raise Different(f"{where}: other data{where_in}")

    def parts(self, where, a, b):
        """What to read of a dataset, which is all of it: frame by frame; or, where a damaged extent is
        far larger than memory, what is stored of either, since the rest is the fill value."""
        if a.chunks and b.chunks and math.prod(a.shape) * max(a.dtype.itemsize, 1) > MOST_WHOLE:
            fills = {x.id.get_create_plist().fill_value_defined() for x in (a, b)}
            # h5py crashes on the default one of variable-length strings
            if len(fills) > 1 or (h5py.h5d.FILL_VALUE_USER_DEFINED in fills
                                  and not same_value(a.fillvalue, b.fillvalue)):
                raise Different(f"{where}: another fill value")
            for x in (a, b):
                for i in range(x.id.get_num_chunks()):
                    origin = x.id.get_chunk_info(i).chunk_offset
                    yield f" in the chunk at {origin}", tuple(
                        slice(o, min(o + c, n)) for o, c, n in zip(origin, x.chunks, x.shape))
        elif len(a.shape) == 3:
            for i in range(a.shape[2]):
                yield f" in frame {i}", (slice(None), slice(None), i)
        else:
            yield "", ()

    def groups(self, where, a, b):
        names = [sorted(x, key=ascii) for x in (a, b)]
        if names[0] != names[1]:
            raise Different(f"{where}: links {names[0]} and {names[1]}")
        for name in names[0]:
            below = f"{where.rstrip('/')}/{name}"
            links = [x.get(name, getlink=True) for x in (a, b)]
            if links[0] is None and self.unreadable_alike:
                continue  # listed, but not found by its name: the original has a damaged index
            if type(links[0]) is not type(links[1]):
                raise Different(f"{below}: another kind of link")
            if isinstance(links[0], (h5py.SoftLink, h5py.ExternalLink)):
                if vars(links[0]) != vars(links[1]):
                    raise Different(f"{below}: another target")
                continue
            self.objects(below, a[name], b[name])

    def objects(self, where, a, b):
        try:
            addresses = [h5py.h5o.get_info(x.id).addr for x in (a, b)]
        except RuntimeError:
            # It also sums up an index, all nodes of which it wants to see: a damaged pointer to a
            # neighbour, which nothing that is stored depends on, is enough to fail.
            if not self.unreadable_alike or where in self.met:
                raise
            addresses = [where, where]
        if addresses[0] in self.met:
            if self.met[addresses[0]] != addresses[1]:
                raise Different(f"{where}: hard links to different objects")
            return
        self.met[addresses[0]] = addresses[1]
        if type(a) is not type(b):
            raise Different(f"{where}: another kind of object")
        self.attributes(where, a, b)
        if isinstance(a, h5py.Group):
            try:
                self.groups(where, a, b)
            except UnicodeDecodeError:  # a damaged name, which h5py cannot say
                if not self.unreadable_alike:
                    raise
        elif isinstance(a, h5py.Dataset):
            self.datasets(where, a, b)
        elif a.id != b.id:
            raise Different(f"{where}: another type")


def difference(a, b, unreadable_alike=False):
    """None, or where and why the files differ."""
    try:
        with h5py.File(a, "r") as f, h5py.File(b, "r") as g:
            Comparison(f, g, unreadable_alike).objects("/", f["/"], g["/"])
    except Exception as e:  # whatever h5py makes of a damaged file  pylint: disable=broad-except
        return f"{type(e).__name__}: {e}"
    return None


if __name__ == "__main__":
    for first, second in zip(sys.argv[1::2], sys.argv[2::2]):
        why = difference(first, second, unreadable_alike=True)
        print(f"different: {why}" if why else "same", flush=True)
