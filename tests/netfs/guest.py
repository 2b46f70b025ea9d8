# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The checks of run.sh, inside its virtual machine: a line each, "ok" or "FAILED", at the end the sum.

Servers and clients are one machine here; another node is another mount of the share (with a connection
of its own), host name, boot id and PID namespace.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

MOVIES = "/netfs/movies"
SMALL = ["movie0.emd", "movie1.emd", "movie2.emd", "movie3.emd"]
LONG = "long.emd"
PATIENCE = 300  # seconds until something that should happen has not
FAST = ["--settle", "0.2", "--poll", "0.3"]
OTHER_NODE = ("hostname elsewhere; mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id;"
              'exec "$@"')


class Failed(Exception):
    pass


def need(condition, *what):
    if not condition:
        raise Failed(" ".join(str(w) for w in what))


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          timeout=PATIENCE, errors="backslashreplace", **options)
    done.said = done.stdout.strip().replace("\n", " | ")[-600:]
    return done


def must(*command, **options):
    done = run(*command, **options)
    need(done.returncode == 0, " ".join(command), "->", done.returncode, done.said)
    return done


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        need(time.monotonic() < end, "waited in vain for", what)
        time.sleep(0.1)


def node(kind, *command):
    """The command as another node or as a container of this one runs it."""
    if kind == "node":
        return ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", OTHER_NODE,
                "sh", *command]
    if kind == "container":
        return ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
    return list(command)


class Samba:
    @staticmethod
    def start():
        must("smbd", "-D", "--configfile=/tmp/smb.conf")

    @staticmethod
    def stop():
        run("pkill", "-KILL", "smbd")
        wait_for(lambda: run("pgrep", "smbd").returncode != 0, "the end of smbd")


class Nfsd:
    @staticmethod
    def start():
        must("rpc.nfsd", "--grace-time", "10", "--lease-time", "10", "4")

    @staticmethod
    def stop():
        must("rpc.nfsd", "0")


def smb(share, options):
    return ["mount", "-t", "cifs", f"//127.0.0.1/{share}", "-o", f"guest{options}"]


def nfs(options):
    return ["mount", "-t", "nfs", "127.0.0.1:/srv/nfs", "-o", f"{options}"]


class Share:
    """A file system at self.path, and the same as another node sees it at self.other."""

    def __init__(self, name, server, mount, other):
        self.name, self.server = name, server
        self.path, self.other = f"/mnt/{name}", f"/mnt/{name}-other"
        for command, path in ((mount, self.path), (other, self.other)):
            os.makedirs(path)
            must(*command, path)

    def folder(self, check):
        """A new folder for a check."""
        name = f"{self.name}-{check}"
        os.makedirs(os.path.join(self.path, name))
        return os.path.join(self.path, name), os.path.join(self.other, name)


def loop(image, megabytes, *mkfs):
    with open(image, "wb") as f:
        f.truncate(megabytes << 20)
    must(*mkfs, image)
    return must("losetup", "--find", "--show", image).stdout.strip()


def serve():
    """What is served, and the servers; returns the shares."""
    device = loop("/tmp/srv.img", 1000, "mkfs.ext4", "-q")
    os.makedirs("/srv", exist_ok=True)
    must("mount", device, "/srv")
    for name in ("smb", "smb-nobrl", "smb-nocase", "nfs"):
        os.makedirs(f"/srv/{name}")
    os.makedirs("/var/log/samba", exist_ok=True)
    os.makedirs("/run/samba", exist_ok=True)
    with open("/tmp/smb.conf", "w", encoding="ascii") as f:
        f.write("[global]\nmap to guest = bad user\nguest account = root\nload printers = no\n"
                "interfaces = lo\nbind interfaces only = yes\nsmb ports = 445\nserver min protocol = SMB2\n"
                "disable spoolss = yes\nlog level = 0\n")
        for name, more in (("smb", ""), ("smb-nobrl", ""), ("smb-nocase", "case sensitive = no\n")):
            f.write(f"[{name}]\npath = /srv/{name}\nguest ok = yes\nread only = no\nforce user = root\n{more}")
    with open("/tmp/boot_id", "w", encoding="ascii") as f:
        f.write("01234567-89ab-4cde-8f01-23456789abcd\n")
    with open("/etc/exports", "w", encoding="ascii") as f:
        f.write("/srv/nfs 127.0.0.1(rw,no_root_squash,no_subtree_check,fsid=1,insecure)\n")
    Samba.start()
    os.makedirs("/run/rpcbind", exist_ok=True)
    os.makedirs("/var/lib/nfs/v4recovery", exist_ok=True)
    run("mount", "-t", "rpc_pipefs", "rpc_pipefs", "/run/rpc_pipefs")
    run("mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
    must("rpcbind")
    must("exportfs", "-ra")
    Nfsd.start()
    must("rpc.mountd")
    wait_for(lambda: run("sh", "-c", "ss -ltn | grep -q ':445 '").returncode == 0, "smbd")
    vfat = loop("/tmp/vfat.img", 300, "mkfs.vfat")
    return [
        Share("smb", Samba, smb("smb", ""), smb("smb", ",nosharesock")),
        Share("smb-nobrl", Samba, smb("smb-nobrl", ",nobrl"), smb("smb-nobrl", ",nobrl,nosharesock")),
        Share("smb-nocase", Samba, smb("smb-nocase", ",nocase"), smb("smb-nocase", ",nocase,nosharesock")),
        Share("nfs4", Nfsd, nfs("vers=4.2"), nfs("vers=4.2,nosharecache")),
        Share("nfs3-nolock", Nfsd, nfs("vers=3,nolock"), nfs("vers=3,nolock,nosharecache")),
        Share("vfat", None, ["mount", vfat], ["mount", "--bind", "/mnt/vfat"]),
    ]


# ---- what is right ----


def same(source, output):
    """Every value and attribute below /Data is the same, says HDF5's own h5diff."""
    must("h5diff", source, output, "/Data", "/Data")


def tree(folder):
    found = []
    for at, _, files in os.walk(folder):
        found += [os.path.relpath(os.path.join(at, f), folder) for f in files]
    return sorted(found)


def check_clean(folder, names):
    """Nothing but these outputs, their tables, and emdwatch's own hidden files."""
    left = [f for f in tree(folder) if f not in names and not f.endswith(".frames.tsv") and
            os.path.basename(f) != ".emdwatch.json"]
    need(not left, "left behind:", *left)


def fill(folder, movies=tuple(SMALL), sub="a crystal"):
    """Movies into a RAW; returns {source: output}."""
    pairs = {}
    os.makedirs(os.path.join(folder, sub), exist_ok=True)
    for i, name in enumerate(movies):
        name = os.path.join(sub, name) if i % 2 else name
        shutil.copyfile(os.path.join(MOVIES, os.path.basename(name)), os.path.join(folder, name))
        pairs[name] = name.replace(" ", "_")
    return pairs


def check_outputs(raw, out, pairs):
    """Each is there, every chunk decodes, and the values are the source's."""
    for source, output in pairs.items():
        need(os.path.exists(os.path.join(out, output)), "no", output, "but", *tree(out))
    must("emdrepack", "--check", *[os.path.join(out, output) for output in pairs.values()])
    for source, output in pairs.items():
        same(os.path.join(raw, source), os.path.join(out, output))


def emdwatch(*arguments, kind=None):
    log = open(f"/tmp/emdwatch.{time.monotonic_ns()}", "w+", encoding="utf-8", errors="backslashreplace")
    child = subprocess.Popen(node(kind, "emdwatch", *arguments), stdout=log, stderr=subprocess.STDOUT)
    child.log = log
    return child


def said(child):
    with open(child.log.name, encoding="utf-8", errors="backslashreplace") as f:
        return f.read()


def finish(child, *codes):
    """The end of a run, killed where it does not come."""
    try:
        code = child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        code = "no end"
    need(code in codes, "emdwatch ended with", code, "after:", said(child).replace("\n", " | ")[-900:])


def temporary(out):
    """A file that is being written."""
    return [f for f in tree(out) if f.endswith(".tmp") and not os.path.basename(f).startswith(".emdwatch")]


# ---- checks of every share ----


def check_repack(share, microscope):
    here, _ = share.folder("repack")
    movie = os.path.join(MOVIES, SMALL[0])
    must("emdrepack", "-q", "--verify=file", "--no-provenance", movie, f"{here}/packed.emd")
    same(movie, f"{here}/packed.emd")
    # what others read the compressed file with again, from share to share
    must("emdrepack", "-q", "--verify=file", "-c", "none", f"{here}/packed.emd", f"{here}/plain.emd")
    same(movie, f"{here}/plain.emd")
    must("emdrepack", "-q", "--verify=file", "--frame-stats", "-d", f"{here}/more", movie)
    same(movie, f"{here}/more/{SMALL[0]}")
    must("emdinfo", "-q", f"{here}/packed.emd")
    check_clean(here, ["packed.emd", "plain.emd", f"more/{SMALL[0]}"])


def check_watch(share, microscope):
    raw, _ = microscope.folder(f"raw-of-{share.name}")
    out, _ = share.folder("watch")
    pairs = fill(raw)
    finish(emdwatch("--once", *FAST, "--verify=file", "--frame-stats", raw, out), 0)
    check_outputs(raw, out, pairs)
    check_clean(out, pairs.values())
    must("emdrepack", "-q", "--frame-stats", f"{MOVIES}/{SMALL[0]}", "/tmp/reference.emd", "-f")
    with open("/tmp/reference.frames.tsv", "rb") as a, open(f"{out}/movie0.frames.tsv", "rb") as b:
        need(a.read() == b.read(), "frame statistics differ")
    # nothing is done twice
    again = emdwatch("--once", *FAST, "--frame-stats", raw, out)
    finish(again, 0)
    need("0 files done" in said(again), said(again))


def check_nodes(share, microscope):
    """While one node works, another one, and a container with the same host name, are refused."""
    raw, _ = microscope.folder(f"raw-of-nodes-{share.name}")
    out, out_there = share.folder("nodes")
    pairs = fill(raw, [LONG, *SMALL])
    first = emdwatch(*FAST, "-j", "1", raw, out)
    try:
        wait_for(lambda: temporary(out) or first.poll() is not None, "the first output")
        need(first.poll() is None, "the first ended:", said(first))
        for kind, there in (("node", out_there), ("container", out), (None, out)):
            second = emdwatch("--once", *FAST, raw, there, kind=kind)
            finish(second, 3)
        wait_for(lambda: said(first).count(" done ") >= len(pairs) or first.poll() is not None, "all files")
    finally:
        first.terminate()
    finish(first, 0)
    check_outputs(raw, out, pairs)
    check_clean(out, pairs.values())


def check_killed(share, microscope):
    """Killed at any moment, the next one finishes, and leaves nothing of the first."""
    raw, _ = microscope.folder(f"raw-of-killed-{share.name}")
    out, _ = share.folder("killed")
    pairs = fill(raw, [LONG, *SMALL])
    for _ in range(3):
        child = emdwatch(*FAST, "-j", "1", raw, out)
        wait_for(lambda: temporary(out) or child.poll() is not None, "an output")
        need(child.poll() is None, "it ended:", said(child))
        time.sleep(random.uniform(0, 1))
        child.kill()
        child.wait()
    finish(emdwatch("--once", *FAST, raw, out), 0)
    check_outputs(raw, out, pairs)
    check_clean(out, pairs.values())


def check_names(share, microscope):
    """Names that a share cannot hold or takes for one: said or done, and none for another."""
    raw = f"/tmp/raw-names-{share.name}"
    os.makedirs(raw)
    out, _ = share.folder("names")
    names = ["plain.emd", "\u00fcml\u00e4ut.emd", "a:b.emd", "what?.emd", "pipe|star*.emd", "dot..emd",
             "n" * 200 + ".emd", "Case.emd", "case.emd", "new\nline.emd", b"latin\xe4.emd".decode("utf-8", "surrogateescape"),
             "trailing./in.emd", "CON.emd"]
    sources = {}
    for i, name in enumerate(names):
        path = os.path.join(raw, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        sources[name] = os.path.join(MOVIES, SMALL[i % 4])
        shutil.copyfile(sources[name], path)
    child = emdwatch("--once", *FAST, raw, out)
    finish(child, 0, 1, 3)
    text = said(child)
    done = 0
    insensitive = share.name.startswith("smb") or share.name == "vfat"
    for name, movie in sources.items():
        output = os.path.join(out, name)
        if insensitive and name.lower() == "case.emd":
            continue
        if os.path.exists(output):
            same(movie, output)
            done += 1
        else:
            need(name[:4] in text, "not a word of", repr(name), text[-500:])
    if insensitive:  # one of the two, and a word about the other
        right = [n for n in ("Case.emd", "case.emd")
                 if run("h5diff", sources[n], f"{out}/case.emd", "/Data", "/Data").returncode == 0]
        need(len(right) == 1, "case.emd is neither of the two")
        need("conflict" in text, "not a word of a conflict:", text[-500:])
    need(done >= 4, "only", done, "done:", text[-500:])
    need(not temporary(out), "left behind:", *temporary(out))


def check_server(share, microscope):
    """The server is killed while a movie is copied, and comes back."""
    raw, _ = microscope.folder(f"raw-of-server-{share.name}")
    out, _ = share.folder("server")
    pairs = fill(raw, [LONG, *SMALL])
    child = emdwatch("--once", *FAST, "-j", "1", raw, out)
    try:
        wait_for(lambda: temporary(out) or child.poll() is not None, "an output")
        need(child.poll() is None, "it ended:", said(child))
        share.server.stop()
        time.sleep(8)
    finally:
        share.server.start()
    finish(child, 0)
    check_outputs(raw, out, pairs)
    check_clean(out, pairs.values())
    need("damaged" not in said(child), said(child))


def check_sync(share, microscope):
    """Two sources into one target at a time; somebody else's rsync into it is left alone."""
    here, there = share.folder("sync")
    os.makedirs(f"/tmp/{share.name}/two", exist_ok=True)
    shutil.copyfile(f"{MOVIES}/{LONG}", f"/tmp/{share.name}/long.emd")
    shutil.copyfile(f"{MOVIES}/{SMALL[1]}", f"/tmp/{share.name}/two/movie1.emd")
    os.chown(f"/tmp/{share.name}/two/movie1.emd", 1000, 1000)  # an owner that the share may not know
    with open(f"{here}/.other.emd.AbCdEf", "w", encoding="ascii") as f:
        f.write("of another rsync")
    first = subprocess.Popen(["emdsync", "--interval", "1", f"/tmp/{share.name}/", here, "--", "--exclude=/two",
                              "--bwlimit=4000"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_for(lambda: len(tree(here)) > 1 or first.poll() is not None, "the first transfer")
        need(first.poll() is None, "the first ended")
        must("emdsync", "--once", f"/tmp/{share.name}/two/", here)
        need(run("emdsync", "--once", f"/tmp/{share.name}/", here).returncode == 3, "the same twice")
        need(os.path.exists(f"{here}/.other.emd.AbCdEf"), "another rsync's file was removed")
        wait_for(lambda: os.path.exists(f"{here}/long.emd"), "the long file")
    finally:
        first.terminate()
        first.wait(PATIENCE)
    os.remove(f"{here}/.other.emd.AbCdEf")
    must("cmp", f"{MOVIES}/{LONG}", f"{here}/long.emd")
    must("cmp", f"{MOVIES}/{SMALL[1]}", f"{here}/movie1.emd")
    need(tree(here) == [LONG, SMALL[1]], *tree(here))


# ---- a disk that fails ----


def dm(name, device, table):
    """Creates the device, or changes it while it is in use."""
    sectors = must("blockdev", "--getsz", device).stdout.strip()
    text = f"0 {sectors} {table.format(device=device)}"
    if os.path.exists(f"/dev/mapper/{name}"):
        must("dmsetup", "suspend", "--noflush", "--nolockfs", name)
        must("dmsetup", "load", name, "--table", text)
        must("dmsetup", "resume", name)
    else:
        must("dmsetup", "create", name, "--table", text)
        must("dmsetup", "mknodes")


GOOD, ERRORS = "linear {device} 0", "flakey {device} 0 0 3600"
DROPPED = "flakey {device} 0 0 3600 1 drop_writes"


def check_errors():
    """Reads fail for seconds: trouble that passes, never damage."""
    device = loop("/tmp/errors.img", 200, "mkfs.ext4", "-q")
    dm("errors", device, GOOD)
    os.makedirs("/mnt/errors")
    must("mount", "/dev/mapper/errors", "/mnt/errors")
    os.makedirs("/mnt/errors/raw")
    pairs = fill("/mnt/errors/raw", [LONG, *SMALL])
    must("umount", "/mnt/errors")
    must("mount", "-o", "ro", "/dev/mapper/errors", "/mnt/errors")
    out = "/tmp/errors-out"
    for delay in (0.0, 1.0, 2.5, 4.0):
        shutil.rmtree(out, ignore_errors=True)
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3\n")
        child = emdwatch("--once", *FAST, "-j", "1", "/mnt/errors/raw", out)
        time.sleep(delay)
        dm("errors", device, ERRORS)
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3\n")
        time.sleep(3)
        dm("errors", device, GOOD)
        code = child.wait(PATIENCE)
        need("damaged" not in said(child), f"after {delay} s:", said(child))
        if code != 0:  # --once may end with what failed; the next run must do it
            finish(emdwatch("--once", *FAST, "/mnt/errors/raw", out), 0)
        check_outputs("/mnt/errors/raw", out, pairs)
        check_clean(out, pairs.values())


def check_power():
    """The disk takes no more writes at some moment, as without power: what has its name is whole."""
    device = loop("/tmp/power.img", 300, "mkfs.ext4", "-q")
    raw = "/tmp/power-raw"
    pairs = fill(raw, SMALL, sub="b")
    dm("power", device, GOOD)
    os.makedirs("/mnt/power")
    seen = 0
    for cut in range(6):
        must("mount", "/dev/mapper/power", "/mnt/power")
        shutil.rmtree("/mnt/power/out", ignore_errors=True)
        shutil.rmtree("/mnt/power/dst", ignore_errors=True)
        os.makedirs("/mnt/power/dst")
        must("sync", "-f", "/mnt/power")
        child = emdwatch("--once", *FAST, "-j", "1", "--frame-stats", raw, "/mnt/power/out")
        sync = subprocess.Popen(["emdsync", "--interval", "0.1", raw + "/", "/mnt/power/dst"],
                                stdout=subprocess.PIPE, text=True)
        if cut:  # between outputs, else before the first
            wait_for(lambda: any(os.path.exists(f"/mnt/power/out/{o}") for o in pairs.values()), "an output")
        time.sleep(random.uniform(0, 2))
        dm("power", device, DROPPED)
        child.kill()
        child.wait()
        sync.terminate()
        sync.communicate()
        wait_for(lambda: run("umount", "/mnt/power").returncode == 0, "the last to leave the disk")
        dm("power", device, GOOD)
        must("mount", "/dev/mapper/power", "/mnt/power")
        for source, output in pairs.items():
            if os.path.exists(f"/mnt/power/out/{output}"):
                same(f"{raw}/{source}", f"/mnt/power/out/{output}")
                seen += 1
            if os.path.exists(f"/mnt/power/dst/{source}"):
                must("cmp", f"{raw}/{source}", f"/mnt/power/dst/{source}")
                seen += 1
        finish(emdwatch("--once", *FAST, "--frame-stats", raw, "/mnt/power/out"), 0)
        must("emdsync", "--once", "-q", raw + "/", "/mnt/power/dst")
        check_outputs(raw, "/mnt/power/out", pairs)
        check_clean("/mnt/power/out", pairs.values())
        need(tree("/mnt/power/dst") == sorted(pairs), *tree("/mnt/power/dst"))
        must("umount", "/mnt/power")
    need(seen > 0, "no cut came late enough")


def main():
    with open("/netfs/wanted", encoding="ascii") as f:
        wanted = f.read().split()
    passed = failed = 0
    shares = serve()
    for share in shares:
        with open("/proc/mounts", encoding="ascii") as f:
            print("#", *[line.strip()[:150] for line in f if f" {share.path} " in line])
    checks = []
    for share in shares:
        for check in (check_repack, check_watch, check_nodes, check_killed, check_names, check_sync, check_server):
            if check is not check_server or share.server:
                checks.append((f"{share.name}-{check.__name__[6:]}", check, (share, shares[0])))
    checks += [("errors", check_errors, ()), ("power", check_power, ())]
    if wanted:  # in that order
        checks = [c for w in wanted for c in checks if c[0].startswith(w)]
    for name, check, arguments in checks:
        start = time.monotonic()
        try:
            check(*arguments)
            passed += 1
            result = "ok"
        except (Failed, OSError, subprocess.SubprocessError) as e:
            failed += 1
            result = f"FAILED: {e}"
        print(f"{name}: {result} ({time.monotonic() - start:.0f} s)", flush=True)
    if failed:
        print(f"{passed} passed, {failed} FAILED")
    else:
        print(f"passed {passed}")
    return failed != 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
