#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Programs and plugins that run with a glibc older than the one they are built with.

oldglibc.py stubs VERSION FOLDER
    writes libc.so.6, libm.so.6, libpthread.so.0 and libdl.so.2 (with the names that -lc etc. look
    for) into FOLDER: libraries without code, only to link with. Each has the functions of this
    machine's glibc, but only in the forms that VERSION (say 2.28) has as well, so that the linker
    records no newer ones, and what VERSION does not have at all is an undefined reference, which
    stops the build. glibc keeps all old forms for ever: that is how it runs old programs.

oldglibc.py check VERSION FILE...
    fails if a program or library needs a glibc newer than VERSION, or a library that is not glibc's.

Only functions that glibc calls "base" are concerned: headers are this machine's. What they turn into
calls that VERSION does not have is in nonshared.c. Linking in a chroot of an older Debian would do as
well, but Debian 11 has glibc 2.31, and no older one has a mirror; this needs neither root nor network.
"""

import os
import re
import subprocess
import sys
import tempfile

# Where glibc 2.28 has what since 2.34 is all in libc.so.6: two empty libraries that are always
# needed. The dynamic linker looks for a version of a name in all libraries, so it matters that the
# right one is loaded, not which one is named.
LIBRARIES = {"libc.so.6": "libc.so", "libm.so.6": "libm.so"}
EMPTY = {"libpthread.so.0": "libpthread.so", "libdl.so.2": "libdl.so"}
# The loader's own few functions, under either machine's name for it.
LOADERS = {"ld-linux-x86-64.so.2": "libloader.so", "ld-linux-aarch64.so.1": "libloader.so"}
# What a program may need beside itself (and the programs' own loader).
ALLOWED = {*LIBRARIES, *EMPTY, *LOADERS, "librt.so.1"}

SYMBOL = re.compile(
    r"^\s*\d+:\s+(?P<value>[0-9a-f]+)\s+(?P<size>\S+)\s+(?P<type>\w+)\s+(?P<bind>\w+)\s+\w+\s+(?P<section>\S+)"
    r"\s+(?P<name>[^@\s]+)@@?(?P<version>\S+)"
)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def number(version):
    """(2, 28) of "GLIBC_2.28" or "2.28"; None for GLIBC_PRIVATE and others."""
    match = re.fullmatch(r"(?:GLIBC_)?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, match.group(1).split("."))) if match else None


def newest_forms(library, limit):
    """{name: (version, type, size, address)} of a library: of each name the newest form up to 'limit'."""
    forms = {}
    for line in run("readelf", "--wide", "--dyn-syms", library).splitlines():
        match = SYMBOL.match(line)
        if not match or match["section"] in ("UND", "ABS") or match["type"] == "TLS":
            continue
        version = number(match["version"])
        if version is None or version > limit:
            continue
        known = forms.get(match["name"])
        if not known or number(known[0]) < version:
            forms[match["name"]] = (match["version"], match["type"], int(match["size"], 0),
                                    int(match["value"], 16))
    return forms


def write_stub(folder, soname, link_name, forms):
    path = os.path.join(folder, soname)
    with tempfile.TemporaryDirectory() as work:
        source, script = os.path.join(work, "stub.s"), os.path.join(work, "stub.map")
        with open(source, "w") as out:
            functions = sorted(name for name, form in forms.items() if form[1] != "OBJECT")
            for name in functions:
                out.write(f"\t.text\n\t.globl {name}\n\t.type {name},%function\n{name}:\n")
            # Programs have copies of variables, so sizes count; and one with two names (environ) is one.
            variables = {}
            for name, (_, kind, size, address) in sorted(forms.items()):
                if kind == "OBJECT":
                    variables.setdefault((address, size), []).append(name)
            for (_, size), names in variables.items():
                out.write("\t.data\n\t.balign 32\n")
                for name in names:
                    out.write(f"\t.globl {name}\n\t.type {name},%object\n\t.size {name},{size}\n"
                              f"{name}:\n")
                out.write(f"\t.space {max(size, 1)}\n")
            out.write('\t.section .note.GNU-stack,"",%progbits\n')
        with open(script, "w") as out:
            for version in sorted({form[0] for form in forms.values()}, key=number):
                out.write(f"{version} {{ global:\n")
                out.writelines(f"  {name};\n" for name, form in sorted(forms.items())
                               if form[0] == version)
                out.write("};\n")
        command = ["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{soname}", "-o", path, source]
        if forms:
            command.append(f"-Wl,--version-script={script}")
        run(*command)
    link = os.path.join(folder, link_name)
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(soname, link)


def stubs(limit, folder):
    os.makedirs(folder, exist_ok=True)
    for soname, link_name in {**LIBRARIES, **LOADERS}.items():
        library = run("gcc", f"-print-file-name={soname}").strip()
        if soname in LOADERS and not os.path.isabs(library):
            continue  # another machine's
        forms = newest_forms(library, number(limit))
        if not forms:
            raise SystemExit(f"oldglibc.py: {library}: no functions of glibc {limit} found")
        write_stub(folder, soname, link_name, forms)
    for soname, link_name in EMPTY.items():
        write_stub(folder, soname, link_name, {})


def check(limit, files):
    """The newest form that any file needs; what is too new or foreign is an error."""
    newest, wrong = (0,), []
    for file in files:
        for line in run("readelf", "--wide", "--dynamic", file).splitlines():
            match = re.search(r"\(NEEDED\).*\[(.*)\]", line)
            if match and match[1] not in ALLOWED:
                wrong.append(f"{file}: needs {match[1]}")
        for name in re.findall(r"Name: (\S+)\s+Flags", run("readelf", "--wide", "-V", file)):
            version = number(name)
            if version is None:
                if name.startswith("GLIBC_") or not name.startswith("GCC_"):
                    wrong.append(f"{file}: needs {name}")
            elif version > number(limit):
                wrong.append(f"{file}: needs {name}")
            else:
                newest = max(newest, version)
    if wrong:
        raise SystemExit("\n".join(f"oldglibc.py: {line} (limit: glibc {limit})" for line in wrong))
    print(f"{len(files)} files need glibc {'.'.join(map(str, newest))} or newer")


def main(arguments):
    if len(arguments) == 3 and arguments[0] == "stubs":
        stubs(arguments[1], arguments[2])
    elif len(arguments) > 2 and arguments[0] == "check":
        check(arguments[1], arguments[2:])
    else:
        raise SystemExit("usage: oldglibc.py stubs VERSION FOLDER | check VERSION FILE...")


if __name__ == "__main__":
    main(sys.argv[1:])
