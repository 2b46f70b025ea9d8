# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""What all benchmarks of emdtools share: measuring processes, interleaved rounds, paired medians,
tables, and a dated entry in bench/RESULTS.md.

A benchmark is a script that
  1. makes or finds its input (scratch_folder, emd_tool),
  2. names its contestants and lets them run in interleaved rounds (A B C A B C ...), so that a slow
     minute of the machine falls on all of them,
  3. prints a Table and appends it to RESULTS.md with record().

    import benchlib
    args = benchlib.parser(__doc__).parse_args()
    runs = [benchlib.Run("emdrepack", [tool, "-c", "gzip", src, dst], output=dst),
            benchlib.Run("cp", ["cp", src, dst2], output=dst2)]
    results = benchlib.interleave(runs, args.rounds)
    table = benchlib.Table("contestant", "wall s", "CPU s", "peak MiB", "size MB", "vs cp")
    for run in runs:
        r = results[run.name]
        table.add(run.name, r.wall, r.cpu, r.rss / 2**20, r.size / 1e6,
                  benchlib.paired_ratio(results["cp"], r))
    benchlib.record("copies", table, args, notes=["warm page cache"])

Only the standard library is imported: peak memory of a child is ru_maxrss of wait4, which Linux
never reports below the size of the process that started it, so that this one has to stay small
(memory_floor() says how small: figures near it mean "at most that").
"""

import argparse
import collections
import contextlib
import datetime
import json
import math
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BENCH = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(BENCH)
# The Python that has h5py and DIALS: Debian's, whatever runs the benchmarks.
PYTHON = os.environ.get("EMDTOOLS_PYTHON", "/usr/bin/python3")
RESULTS = os.path.join(BENCH, "RESULTS.md")


def memory_floor():
    """Bytes below which the peak memory of a child cannot be told."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- tools and folders ---------------------------------------------------------------------------


def parser(description, rounds=5):
    """An ArgumentParser with the options that every benchmark has."""
    p = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--build", default=os.path.join(SOURCE, "build"), help="build folder")
    p.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds (%(default)s)")
    p.add_argument("--scratch", help="folder for inputs and outputs (a temporary one)")
    p.add_argument("--label", default="", help="a remark for the entry in RESULTS.md")
    p.add_argument("--no-record", action="store_true", help="do not append to RESULTS.md")
    return p


def emd_tool(args, name):
    """Path of a tool of the build; stops with a message where it is not built."""
    path = os.path.join(args.build, "bin", name)
    if not os.access(path, os.X_OK):
        sys.exit(f"{os.path.basename(sys.argv[0])}: {path} is not built (see --build)")
    return path


def plugin_environment(args):
    """The environment with HDF5_PLUGIN_PATH set to the plugins of the build."""
    return dict(os.environ, HDF5_PLUGIN_PATH=os.path.join(args.build, "plugins"))


def test_data(args, *names):
    """A folder of the real files: below EMDTOOLS_TEST_DATA of the environment, or else of the build."""
    data = os.environ.get("EMDTOOLS_TEST_DATA")
    if data is None:
        with open(os.path.join(args.build, "CMakeCache.txt"), encoding="utf-8") as f:
            data = dict(re.findall(r"^(\w+):\w+=(.*)$", f.read(), re.M)).get("EMDTOOLS_TEST_DATA", "")
    return os.path.join(data, *names)


@contextlib.contextmanager
def scratch_folder(args, parent=None):
    """--scratch, kept with all inputs for the next time, or a temporary folder (in 'parent')."""
    if args.scratch:
        os.makedirs(args.scratch, exist_ok=True)
        yield args.scratch
    else:
        folder = tempfile.mkdtemp(prefix="emdbench.", dir=parent)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def warm(path):
    """Reads a file once, so that every contestant finds it in the page cache."""
    with open(path, "rb", buffering=0) as f:
        buffer = bytearray(1 << 20)
        while f.readinto(buffer):
            pass


# --- measuring -----------------------------------------------------------------------------------

Sample = collections.namedtuple("Sample", "wall cpu rss size output")


class BenchError(Exception):
    """A contestant failed; the text says which, how, and what it printed last."""


class Run:
    """One contestant: a command that is measured.

    output   file whose size counts and which is removed before each round (None: no file)
    before   called before each round, unmeasured
    sync     the time until the output is on the disk counts (for commands that do not fsync)
    stdout   True: standard output is kept in Sample.output
    """

    def __init__(self, name, argv, output=None, env=None, before=None, sync=False, stdout=False):
        self.name = name
        self.argv = [os.fspath(a) for a in argv]
        self.output = output
        self.env = env
        self.before = before
        self.sync = sync
        self.stdout = stdout

    def measure(self):
        """Runs the command once; a Sample, or BenchError."""
        if self.output and os.path.exists(self.output):
            os.unlink(self.output)
        if self.before:
            self.before()
        # Pipes would limit the child by our reading: files do not.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            start = time.perf_counter()
            child = subprocess.Popen(
                self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if self.sync and self.output and child.returncode == 0:
                fd = os.open(self.output, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
            wall = time.perf_counter() - start
            if child.returncode != 0:
                err.seek(0)
                last = err.read().decode(errors="replace").strip()[-500:]
                raise BenchError(f"{self.name}: exit {child.returncode}: {last}")
            text = b""
            if self.stdout:
                out.seek(0)
                text = out.read()
        size = os.path.getsize(self.output) if self.output else 0
        return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, size, text)


class Result:
    """All samples of a contestant; wall and cpu are medians, rss the highest peak."""

    def __init__(self, name):
        self.name = name
        self.samples = []

    @property
    def wall(self):
        return statistics.median(s.wall for s in self.samples)

    @property
    def cpu(self):
        return statistics.median(s.cpu for s in self.samples)

    @property
    def rss(self):
        return max(s.rss for s in self.samples)

    @property
    def size(self):
        return self.samples[-1].size

    @property
    def spread(self):
        """(highest - lowest) / median of the wall times: how far the figure can be trusted."""
        walls = [s.wall for s in self.samples]
        return (max(walls) - min(walls)) / self.wall


def interleave(runs, rounds, slow=(), warmup=False, rotate=False, keep=None):
    """Measures all runs in interleaved rounds; {name: Result}. Those named in 'slow' run in the
    first round only. 'rotate': each round begins with another one, so that nobody always follows the
    same neighbour. 'keep': a file with the whole rounds of earlier calls, which count as well, so that
    many rounds can be measured a few minutes at a time. A contestant that fails is reported on stderr
    and left out."""
    results = {run.name: Result(run.name) for run in runs}
    alive = list(runs)
    if keep and os.path.exists(keep):
        with open(keep, encoding="utf-8") as f:
            for name, samples in json.load(f).items():
                results[name].samples = [Sample(*s, b"") for s in samples]
    for number in range(-1 if warmup else 0, rounds):
        first = len(results[alive[0].name].samples) % len(alive) if rotate and alive else 0
        for run in alive[first:] + alive[:first]:
            if number != 0 and run.name in slow:
                continue
            try:
                sample = run.measure()
            except (BenchError, OSError) as e:
                print(f"left out: {e}", file=sys.stderr)
                alive.remove(run)
                del results[run.name]
                continue
            if number >= 0:
                results[run.name].samples.append(sample)
            if sys.stderr.isatty():
                print(f"\r\033[K{number + 1}/{rounds} {run.name}", end="", file=sys.stderr)
        if keep:
            with open(keep, "w", encoding="utf-8") as f:
                json.dump({name: [s[:4] for s in r.samples] for name, r in results.items()}, f)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return results


def _paired_ratios(base, other, what):
    a = [getattr(s, what) for s in base.samples]
    b = [getattr(s, what) for s in other.samples]
    if len(a) == 1:
        a *= len(b)
    if len(b) == 1:
        b *= len(a)
    return [x / y for x, y in zip(a, b) if y > 0]


def paired_ratio(base, other, what="wall"):
    """How many times faster 'other' is than 'base': the median of the ratios round by round. Where
    one of them ran once only, its figure is paired with every round of the other."""
    return statistics.median(_paired_ratios(base, other, what))


def paired_interval(base, other, what="wall", confidence=0.9):
    """Where the median of those ratios lies if there were endless rounds: (low, high), by order
    statistics, which assume nothing about how the noise is distributed. None: too few rounds."""
    ratios = sorted(_paired_ratios(base, other, what))
    n, k, outside = len(ratios), 0, 2 * 0.5 ** len(ratios)
    while k < n // 2 and outside <= 1 - confidence:
        k += 1
        outside += 2 * math.comb(n, k) * 0.5**n
    return (ratios[k - 1], ratios[n - k]) if k else None


# --- tables and the record -----------------------------------------------------------------------


class Table:
    """Rows of text and numbers; the first column is a name. Floats get three digits, None a dash."""

    def __init__(self, *header):
        self.header = header
        self.rows = []

    def add(self, *cells):
        if len(cells) != len(self.header):
            raise ValueError("a row has as many cells as the header")
        self.rows.append([self.text(c) for c in cells])

    @staticmethod
    def text(cell):
        if cell is None:
            return "-"
        if cell == 0:
            return "0"
        if isinstance(cell, float):
            return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:#.3g}".rstrip(".")
        return str(cell)

    def lines(self, markdown=False):
        """Aligned lines; with markdown, as a Markdown table, which is as readable."""
        rows = [list(self.header), *self.rows]
        width = [max(len(r[i]) for r in rows) for i in range(len(self.header))]
        left = "| " if markdown else ""
        between = " | " if markdown else "  "
        right = " |" if markdown else ""
        out = []
        for row in rows:
            cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, width))]
            out.append((left + between.join(cells) + right).rstrip())
        rule = ["-" * w if i == 0 else "-" * (w - 1) + (":" if markdown else "-")
                for i, w in enumerate(width)]
        out.insert(1, left + between.join(rule) + right)
        return out


def _first_line(argv):
    try:
        text = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return text.stdout.decode(errors="replace").strip().splitlines()[0]
    except (OSError, IndexError):
        return ""


def machine():
    """One line: CPU, cores, memory, kernel, HDF5."""
    cpu = platform.machine()
    with contextlib.suppress(OSError):
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            found = re.search(r"^model name\s*:\s*(.*)$", f.read(), re.MULTILINE)
            cpu = found.group(1) if found else cpu
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0))
    hdf5 = _first_line(["pkg-config", "--modversion", "hdf5"]) or "?"
    return (f"{cpu}, {cores} cores, {memory:.0f} GiB, Linux {platform.release()}, "
            f"HDF5 {hdf5}, Python {platform.python_version()}")


def revision():
    """The commit that was measured, with '+' where files were changed since."""
    short = _first_line(["git", "-C", SOURCE, "rev-parse", "--short", "HEAD"])
    if not re.fullmatch(r"[0-9a-f]+", short):
        return ""
    dirty = subprocess.run(["git", "-C", SOURCE, "status", "--porcelain", "-uno"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    return short + ("+" if dirty else "")


def record(title, table, args, notes=()):
    """Prints the table and, unless --no-record, appends it to RESULTS.md with date and machine.
    The notes say what the figures cannot: the state of caches, other load, what was left out."""
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    load = os.getloadavg()
    facts = [f"{when}, commit {revision() or 'unknown'}; load average {load[0]:.1f}", machine()]
    facts += [n for n in [args.label, *notes] if n]
    print(f"{title}\n" + "\n".join(f"  {f}" for f in facts))
    print("\n".join(table.lines()))
    if args.no_record:
        return
    new = not os.path.exists(RESULTS)
    with open(RESULTS, "a", encoding="utf-8") as f:
        if new:
            f.write("# Benchmark results\n\nAppended by the scripts of this folder, newest last.\n")
        f.write(f"\n## {title}\n\n" + "".join(f"- {x}\n" for x in facts) + "\n")
        f.write("\n".join(table.lines(markdown=True)) + "\n")
    print(f"appended to {os.path.relpath(RESULTS)}")
