# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""DIALS reflection tables and experiment lists without DIALS: for tests, benchmarks and seeds.

A table here is a plain dict of columns in the order of the file, each a pair (type, list of row
bytes); read() and pack() are inverse to each other, byte for byte, for what DIALS writes.
"""

import struct

SIZES = {"bool": 1, "int": 4, "std::size_t": 8, "double": 8, "cctbx::miller::index<>": 12,
         "vec2<double>": 16, "vec3<double>": 24, "int6": 24, "mat3<double>": 72}
STRONG, INDEXED, OUTLIER, INTEGRATED = 0x20, 4, 0x20000, 0x300


# --- MessagePack, as far as DIALS uses it --------------------------------------------------------


def uint(n):
    if n < 0x80:
        return bytes([n])
    for code, form, limit in ((0xCC, "B", 8), (0xCD, ">H", 16), (0xCE, ">I", 32), (0xCF, ">Q", 64)):
        if n < 1 << limit:
            return bytes([code]) + struct.pack(form, n)
    raise ValueError(n)


def text(s):
    s = s.encode()
    if len(s) < 32:
        return bytes([0xA0 | len(s)]) + s
    return b"\xd9" + bytes([len(s)]) + s if len(s) < 256 else b"\xda" + struct.pack(">H", len(s)) + s


def array(n):
    return bytes([0x90 | n]) if n < 16 else b"\xdc" + struct.pack(">H", n)


def mapping(n):
    return bytes([0x80 | n]) if n < 16 else b"\xde" + struct.pack(">H", n)


def binary_head(n):
    if n < 1 << 8:
        return b"\xc4" + bytes([n])
    return b"\xc5" + struct.pack(">H", n) if n < 1 << 16 else b"\xc6" + struct.pack(">I", n)


def unpack(data, at=0):
    """The object at 'at' and the place behind it."""
    code = data[at]
    at += 1

    def number(form):
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)

    if code < 0x80:
        return code, at
    if code < 0xA0:
        return collection(data, at, code & 15, code >= 0x90)
    if code < 0xC0:
        return data[at:at + (code & 31)].decode(), at + (code & 31)
    if code in (0xCC, 0xCD, 0xCE, 0xCF):
        return number({0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}[code])
    n, at = number({0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I",
                    0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}[code])
    if code in (0xC4, 0xC5, 0xC6):
        return bytes(data[at:at + n]), at + n
    if code in (0xD9, 0xDA, 0xDB):
        return data[at:at + n].decode(), at + n
    return collection(data, at, n, code in (0xDC, 0xDD))


def collection(data, at, n, is_array):
    items = []
    for _ in range(n if is_array else 2 * n):
        item, at = unpack(data, at)
        items.append(item)
    return (items if is_array else dict(zip(items[::2], items[1::2]))), at


# --- tables --------------------------------------------------------------------------------------


class Table:
    def __init__(self, columns=None, identifiers=None, version=1):
        self.columns = columns if columns is not None else {}  # name: (type, [row, ...])
        self.identifiers = identifiers if identifiers is not None else {}
        self.version = version

    def __len__(self):
        return len(next(iter(self.columns.values()))[1]) if self.columns else 0

    def add(self, name, kind, form, rows):
        """A column from tuples or numbers, packed with a struct format."""
        self.columns[name] = (kind, [struct.pack(form, *(r if isinstance(r, tuple) else (r,)))
                                     for r in rows])

    def numbers(self, name, form):
        return [struct.unpack(form, r) for r in self.columns[name][1]]

    def select(self, keep):
        """A table of the rows where keep(i) holds."""
        rows = [i for i in range(len(self)) if keep(i)]
        return Table({k: (t, [v[i] for i in rows]) for k, (t, v) in self.columns.items()},
                     dict(self.identifiers), self.version)

    def pack(self):
        out = [array(3), text("dials::af::reflection_table"), uint(self.version), mapping(3),
               text("identifiers"), mapping(len(self.identifiers))]
        for key, value in sorted(self.identifiers.items()):
            out += [uint(key), text(value)]
        out += [text("nrows"), uint(len(self)), text("data"), mapping(len(self.columns))]
        for name, (kind, rows) in self.columns.items():
            data = b"".join(rows)
            if kind == "FrameSlicedShoebox<>":
                data = b"\x03" + data
            out += [text(name), array(2), text(kind), array(2), uint(len(rows)),
                    binary_head(len(data)), data]
        return b"".join(out)

    def write(self, path):
        with open(path, "wb") as f:
            f.write(self.pack())


def shoebox(panel, box, flag, fill=7):
    """One row of a shoebox column."""
    n = (box[1] - box[0]) * (box[3] - box[2]) * (box[5] - box[4])
    row = struct.pack("<I6iB", panel, *box, flag)
    if flag:
        row += struct.pack(f"<{n}f", *[float(fill + i) for i in range(n)])
        row += bytes([fill % 256]) * (n if flag == 2 else 4 * n)
        row += struct.pack(f"<{n}f", *[float(i) for i in range(n)])
    return row


def split_rows(kind, n, data):
    if kind not in ("Shoebox<>", "FrameSlicedShoebox<>"):
        size = SIZES.get(kind, len(data) // max(n, 1))
        assert n * size == len(data)
        return [data[i * size:(i + 1) * size] for i in range(n)]
    rows, at = [], 0
    if kind == "FrameSlicedShoebox<>":
        at = 1
        for _ in range(n):
            size = 4 + 53 * struct.unpack_from("<I", data, at)[0]
            rows.append(data[at:at + size])
            at += size
        return rows
    for _ in range(n):
        box = struct.unpack_from("<6i", data, at + 4)
        volume = (box[1] - box[0]) * (box[3] - box[2]) * (box[5] - box[4])
        size = 29 + volume * (0, 12, 9)[data[at + 28]]
        rows.append(data[at:at + size])
        at += size
    assert at == len(data)
    return rows


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    (title, version, content), end = unpack(data)
    assert title == "dials::af::reflection_table" and end == len(data)
    columns = {name: (kind, split_rows(kind, n, blob))
               for name, (kind, (n, blob)) in content["data"].items()}
    table = Table(columns, content.get("identifiers", {}), version)
    assert all(len(rows) == content["nrows"] for _, rows in columns.values())
    return table


# --- made up -------------------------------------------------------------------------------------


def spots(z, *, ids=None, flags=STRONG | INDEXED | INTEGRATED, isigma=10.0, variance=4.0,
          imageset=None, identifiers=None, version=1):
    """A small integrated table with a spot at every z; isigma and flags may be lists."""
    n = len(z)

    def spread(x):
        return list(x) if isinstance(x, (list, tuple)) else [x] * n

    table = Table(identifiers=identifiers, version=version)
    table.add("flags", "std::size_t", "<Q", spread(flags))
    table.add("id", "int", "<i", spread(0 if ids is None else ids))
    if imageset is not None:
        table.add("imageset_id", "int", "<i", spread(imageset))
    values = [s * max(v, 0.0) ** 0.5 for s, v in zip(spread(isigma), spread(variance))]
    table.add("intensity.prf.value", "double", "<d", values)
    table.add("intensity.prf.variance", "double", "<d", spread(variance))
    table.add("xyzobs.px.value", "vec3<double>", "<3d", [(1.5 * i, 2.5, v) for i, v in enumerate(z)])
    return table


def scan(first=1, last=60, start=0.0, width=0.5, new=False, batch_offset=0):
    n = last - first + 1
    times = {"exposure_time": [0.1 * i for i in range(n)], "epochs": [float(i) for i in range(n)]}
    head = {"image_range": [first, last], "batch_offset": batch_offset}
    if new:
        angles = {"oscillation": [start + width * i for i in range(n)]}
        return {**head, "properties": {**angles, **times}, "valid_image_ranges": {}}
    return {**head, "oscillation": [start, width], **times, "valid_image_ranges": {}}


PANEL = {"name": "Panel", "type": "SENSOR_PAD", "fast_axis": [1.0, 0.0, 0.0],
         "slow_axis": [0.0, -1.0, 0.0], "origin": [-28.7, 28.7, -618.0], "raw_image_offset": [0, 0],
         "image_size": [2048, 2048], "pixel_size": [0.028, 0.028], "trusted_range": [-1e3, 1e6],
         "thickness": 0.0, "material": "", "mu": 0.0, "identifier": "", "mask": [], "gain": 1.0,
         "pedestal": 0.0, "px_mm_strategy": {"type": "SimplePxMmStrategy"}}


def experiments(scans, *, identifiers=None, share=()):
    """An experiment list with a scan-varying crystal an experiment; kinds in 'share' are shared."""
    kinds = ["beam", "detector", "goniometer", "scan", "crystal", "imageset"]
    out = {"__id__": "ExperimentList", "experiment": [], "imageset": [], "beam": [], "detector": [],
           "goniometer": [], "scan": [], "crystal": [], "profile": [], "scaling_model": []}
    for i, s in enumerate(scans):
        out["experiment"].append({"__id__": "Experiment",
                                  "identifier": identifiers[i] if identifiers else f"id-{i}",
                                  **{k: 0 if k in share else i for k in kinds}})
        n = s["image_range"][1] - s["image_range"][0] + 1
        first = s["image_range"][0]
        models = {
            "beam": {"direction": [0.0, 0.0, 1.0], "wavelength": 0.0250793, "divergence": 0.0,
                     "sigma_divergence": 0.0, "polarization_normal": [0.0, 1.0, 0.0],
                     "polarization_fraction": 0.5, "flux": 0.0, "transmission": 1.0},
            "detector": {"panels": [{**PANEL, "name": f"Panel {i}"}]},
            "goniometer": {"rotation_axis": [0.0, -1.0, 0.0],
                           "fixed_rotation": [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0],
                           "setting_rotation": [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0]},
            "scan": s,
            "crystal": {"__id__": "crystal", "real_space_a": [8.0, 0.0, 0.0],
                        "real_space_b": [0.0, 8.0, 0.0], "real_space_c": [0.0, 0.0, 8.0],
                        "space_group_hall_symbol": " P 1",
                        "A_at_scan_points": [[0.125 + k / 8192, 0.0, 0.0, 0.0, 0.125, 0.0, 0.0, 0.0,
                                              0.125] for k in range(n + 1)],
                        "B_covariance": [0.0] * 81},
            "imageset": {"__id__": "ImageSequence", "template": f"/data/{i}.emd",
                         "single_file_indices": list(range(first - 1, first - 1 + n)),
                         "mask": None, "gain": None, "pedestal": None, "dx": None, "dy": None,
                         "params": {"dynamic_shadowing": "Auto", "multi_panel": False}},
        }
        for kind, model in models.items():
            if kind not in share or i == 0:
                out[kind].append(model)
    return out
