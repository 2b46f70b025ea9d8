#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""dials.import and dials.find_spots on one movie, uncompressed and by codec; and what emdprocess adds to
the bare commands of the same stages.

    python3 bench/dials.py [--part import|find_spots|overhead]

Needs DIALS (Debian: dials python3-hdf5plugin). The spots are the same from every file: that is
checked. Wall time is of nproc processes; CPU is of all of them. Rounds of earlier calls with the same
--scratch count as well.
"""

import json
import os
import shutil
import subprocess
import sys

import benchlib

CODECS = ("gzip", "blosc", "edc")
IMPORT = ["dials.import", "panel.pedestal=-40"]
SPOTS = ["dials.find_spots", "gain=0.8", "max_separation=4"]


def environment(args):
    return dict(benchlib.plugin_environment(args), OMP_NUM_THREADS="1",
                PYTHONPATH=os.path.join(benchlib.SOURCE, "share", "emdtools", "dxtbx"))


def make_movies(args, scratch):
    """What is in --scratch from the last time is taken again."""
    movie = os.path.join(scratch, "movie.emd")
    if not os.path.exists(movie):
        subprocess.run([benchlib.emd_tool(args, "emdsim"), "-q", "--size", args.size, "--frames", args.frames, movie],
                       check=True)
    movies = {"uncompressed": movie}
    for codec in CODECS:
        movies[codec] = os.path.join(scratch, f"{codec}.emd")
        if not os.path.exists(movies[codec]):
            subprocess.run([benchlib.emd_tool(args, "emdrepack"), "-q", "-c", codec, movie, movies[codec]], check=True)
    return movies


def between(interval):
    """An interval as text."""
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def codecs(args, scratch, stages):
    movies = make_movies(args, scratch)
    env = environment(args)
    contestants, spots = {"import": [], "find_spots": []}, {}
    for name, movie in movies.items():
        expt, refl = (os.path.join(scratch, f"{name}.{x}") for x in ("expt", "refl"))
        log = f"output.log={os.path.join(scratch, name)}.log"
        contestants["import"].append(benchlib.Run(
            name, [*IMPORT, movie, f"output.experiments={expt}", log], output=expt, env=env))
        contestants["find_spots"].append(benchlib.Run(
            name, [*SPOTS, expt, f"output.reflections={refl}", f"nproc={args.nproc}", log], output=refl, env=env))
        spots[name] = refl
        benchlib.warm(movie)
    for stage in stages:
        if stage != "import":
            for run in contestants["import"]:
                run.measure()
        results = benchlib.interleave(contestants[stage], args.rounds, warmup=args.warmup, rotate=True,
                                      keep=os.path.join(scratch, f"rounds.{stage}"))
        table = benchlib.Table("contestant", "movie MB", "wall s", "CPU s", "wall vs uncompressed", "90 % interval",
                               "CPU vs uncompressed", "90 % interval", "wall vs gzip", "90 % interval")
        base, gzip = results["uncompressed"], results["gzip"]
        for name, r in results.items():
            # "How many times faster is the base than r" is r as a part of the base.
            cells = []
            for other, what in ((base, "wall"), (base, "cpu"), (gzip, "wall")):
                cells += [benchlib.paired_ratio(r, other, what), between(benchlib.paired_interval(r, other, what))]
            table.add(name, os.path.getsize(movies[name]) / 1e6, r.wall, r.cpu, *cells)
        notes = [f"nproc={args.nproc}; warm page cache; {len(base.samples)} interleaved rounds, each beginning with "
                 "another movie; ratios are medians of the rounds'"]
        if stage == "find_spots":
            sizes = {os.path.getsize(r) for r in spots.values()}
            assert len(sizes) == 1, f"not the same spots: {sizes}"
            notes.append("the same spots from every file")
        benchlib.record(f"dials: {stage}, {args.size} x {args.size} x {args.frames}", table, args, notes=notes)


def make_stand_ins(bare, folder):
    """Programs that do nothing but copy the results that DIALS left in 'bare': what is measured with
    them is what is around the commands."""
    results = os.path.join(folder, "results")
    shutil.copytree(bare, results)
    for program, files in (("dials.import", "imported.expt"), ("dials.find_spots", "strong.refl")):
        path = os.path.join(folder, program)
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nexec cp {results}/{files} .\n")
        os.chmod(path, 0o755)


def overhead(args, scratch):
    """Stages of the P1 recipe by emdprocess and by hand. How much the two differ is lost in the noise of
    DIALS' own ten seconds; so the same is measured around commands that only copy DIALS' results, and
    compared with what the real ones take."""
    project = os.path.join(scratch, "project")
    stand_ins = os.path.join(scratch, "stand-ins")
    for folder in (project, stand_ins):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    os.makedirs(os.path.join(project, "images"))
    movie = make_movies(args, scratch)["uncompressed"]
    os.link(movie, os.path.join(project, "images", "movie.emd"))
    bare, trial = (os.path.join(project, "movie", x) for x in ("bare", "P1"))

    def fresh(folder):
        def remove():
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
        return remove

    shell = (f"cd {bare} && dials.import ../../images/movie.emd panel.pedestal=-40 && "
             f"dials.find_spots imported.expt gain=0.8 max_separation=4 nproc={args.nproc}")
    tool = [benchlib.emd_tool(args, "emdprocess"), "-q", "--project", project, "-j", args.nproc, "--stage",
            "import,find_spots"]
    env = environment(args)
    quick = dict(env, PATH=f"{stand_ins}:{env['PATH']}")
    by_hand = benchlib.Run("bare commands", ["sh", "-c", shell], env=env, before=fresh(bare))
    by_tool = benchlib.Run("emdprocess", [*tool, "P1"], env=env, before=fresh(trial))
    real = benchlib.interleave([by_hand, by_tool], args.rounds, warmup=args.warmup, rotate=True,
                               keep=os.path.join(scratch, "rounds.overhead"))
    with open(os.path.join(trial, "emdprocess.json"), encoding="utf-8") as f:
        commands = sum(s.get("cpu_seconds", 0) for s in json.load(f)["stages"])
    own = real["emdprocess"].samples[-1].cpu - commands
    unchanged = benchlib.Run("emdprocess, nothing to do", by_tool.argv, env=env)
    real.update(benchlib.interleave([unchanged], 20))

    make_stand_ins(bare, stand_ins)
    hand = benchlib.Run("copying instead, bare", by_hand.argv, env=quick, before=fresh(bare))
    ours = benchlib.Run("copying instead, emdprocess", by_tool.argv, env=quick, before=fresh(trial))
    copied = benchlib.interleave([hand, ours], 10 * args.rounds, warmup=True, rotate=True)
    added = sorted(o.wall - h.wall for o, h in zip(copied[ours.name].samples, copied[hand.name].samples))

    table = benchlib.Table("contestant", "rounds", "wall s", "CPU s", "wall vs bare", "90 % interval", "CPU vs bare",
                           "90 % interval")
    for name, r in {**real, **copied}.items():
        cells = [None, "-", None, "-"]
        if name in ("bare commands", "emdprocess"):
            base = real["bare commands"]
            cells = [x for what in ("wall", "cpu") for x in (
                benchlib.paired_ratio(r, base, what), between(benchlib.paired_interval(r, base, what)))]
        table.add(name, len(r.samples), r.wall, r.cpu, *cells)
    total = real["bare commands"].wall
    middle, most = added[len(added) // 2], added[len(added) * 9 // 10]
    benchlib.record("dials: what emdprocess adds to import and find_spots", table, args, notes=[
        f"{args.size} x {args.size} x {args.frames}, nproc={args.nproc}, interleaved rounds",
        f"around commands that only copy DIALS' results, emdprocess adds {1000 * middle:.0f} ms (nine of ten "
        f"times at most {1000 * most:.0f}): {100 * middle / total:.2f} % ({100 * most / total:.2f} %) of the "
        "bare commands' time",
        f"CPU beside that of the commands, in the last real round: {1000 * own:.0f} ms, "
        f"{100 * own / real['bare commands'].cpu:.2f} %"])


def main():
    p = benchlib.parser(__doc__, rounds=5)
    p.add_argument("--size", default="1024")
    p.add_argument("--frames", default="160")
    p.add_argument("--nproc", default=str(os.cpu_count()))
    p.add_argument("--warmup", action="store_true", help="one round more, which does not count")
    p.add_argument("--part", choices=("import", "find_spots", "overhead"), help="only this (all)")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    if not shutil.which("dials.import"):
        sys.exit("dials.py: DIALS is not installed")
    with benchlib.scratch_folder(args) as scratch:
        scratch = os.path.abspath(scratch)
        stages = [s for s in ("import", "find_spots") if args.part in (None, s)]
        if stages:
            codecs(args, scratch, stages)
        if args.part in (None, "overhead"):
            overhead(args, scratch)


if __name__ == "__main__":
    main()
