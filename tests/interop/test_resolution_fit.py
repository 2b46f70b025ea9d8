# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The resolution by emdlist --method fit against DIALS itself: dials.util.resolution_analysis for the
rule up to 3.16, and the weighted fit of 3.17 and later, which is scipy's curve_fit on
(1 - tanh((s - s0)/r))/2 from (0.2, 0.4) with errors 1/sqrt(n - 3)."""

import json
import math
import os
import random
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import scipy.optimize
    from cctbx.array_family import flex
    from dials.util import resolution_analysis
except ImportError as missing:
    print(f"skipped: {missing} (Debian: dials, python3-scipy)")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
import synthetic_trials as synthetic

TOOL = os.path.join(os.environ["EMDTOOLS_BIN"], "emdlist")


def emdlist(folder, *args):
    out = subprocess.run([TOOL, "-C", folder, "--format", "json", *args, "P1"], check=True, stdout=subprocess.PIPE).stdout
    return {r["path"]: r for r in json.loads(out)}


def by_dials(s, cc, significant, limit):
    """The rule of 3.8 to 3.16, from high to low resolution as there."""
    sel = flex.bool(significant[::-1])
    try:
        return resolution_analysis.resolution_fit(flex.double(s[::-1]), flex.double(cc[::-1]),
                                                  lambda x, y, _: resolution_analysis.tanh_fit(x, y), limit, sel=sel).d_min
    except RuntimeError:
        return None


def by_scipy(s, cc, pairs, limit):
    """The rule of 3.17 and later."""
    if sum(n > 3 for n in pairs) < 3:
        return None
    s, cc = s[::-1], cc[::-1]
    sigma = [1 / math.sqrt(n - 3) if n > 4 else 100 for n in pairs[::-1]]
    (r, s0), _ = scipy.optimize.curve_fit(lambda x, r, s0: 0.5 * (1 - np.tanh((x - s0) / r)), np.array(s), cc, np.array([0.2, 0.4]), sigma=np.array(sigma))
    if min(cc) > limit:
        return 1 / math.sqrt(max(s))
    fitted = [0.5 * (1 - math.tanh((x - s0) / r)) for x in s]
    if not min(fitted) <= limit <= max(fitted):
        return None
    return 1 / math.sqrt(resolution_analysis.interpolate_value(s, fitted, limit))


def compare(name, got, expected):
    assert (got is None) == (expected is None), (name, got, expected)
    if got is not None:
        # The list has two decimals; DIALS' minimiser stops a little early.
        assert abs(got - expected) < 0.0101, (name, got, expected)
        return abs(got - expected)
    return 0


rng = random.Random(4)
compared = 0
with tempfile.TemporaryDirectory(prefix="emdfit.") as work:
    tables = {}
    for i in range(60):
        for version in ("3.12.1", "3.24.0"):
            name = f"{version}_{i}"
            os.makedirs(f"{work}/{name}/P1")
            rows = synthetic.merging(rng, rng.uniform(0.75, 1.8))
            synthetic.write(f"{work}/{name}/P1/dials.scale.log", synthetic.scale_log(version, rows))
            tables[name] = rows
    for limit in (0.3, 0.5):
        got = emdlist(work, "--method", "fit", "--cc", str(limit))
        for name, rows in tables.items():
            s = [1 / float("%.2f" % r[1]) ** 2 for r in rows]
            cc = [float("%.3f" % r[12]) for r in rows]
            if name.startswith("3.12"):
                expected = by_dials(s, cc, [r[13] for r in rows], limit)
            else:
                expected = by_scipy(s, cc, [r[3] for r in rows], limit)
            compare((name, limit), got[name + "/P1"]["resolution"], expected)
            compared += expected is not None
assert compared > 200, compared

# Real data at full precision: shells, CC1/2 and significance from scaled.json.
data = os.path.join(os.environ["EMDTOOLS_TEST_DATA"], "dials")
if os.path.isdir(data):
    with tempfile.TemporaryDirectory(prefix="emdfit.") as work:
        for name, parts in (("fade", ["fade"]), ("kept", ["fade", "not_blank"]), ("quartz", ["quartz"]), ("velox", ["velox"])):
            os.makedirs(f"{work}/{name}/P1")
            for file in ("dials.scale.log", "scaled.json"):
                os.symlink(os.path.join(data, *parts, file), f"{work}/{name}/P1/{file}")
        for limit in (0.3, 0.6, 0.9):
            for name, row in emdlist(work, "--method", "fit", "--cc", str(limit)).items():
                with open(os.path.join(work, name, "scaled.json"), encoding="utf-8") as f:
                    curves = json.load(f)["resolution_plots"]["cc_one_half"]["data"]
                s = [shell["d_min"] ** -2 for shell in row["shells"]]
                significant = [y > c for y, c in zip(curves[0]["y"], curves[1]["y"])]
                assert significant == [shell["significant"] for shell in row["shells"]]
                compare((name, limit), row["resolution"], by_dials(s, curves[0]["y"], significant, limit))
print("ok", compared)
