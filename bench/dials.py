#!/usr/bin/env python3
"""dials.import and dials.find_spots on one movie, uncompressed and by codec; and what emdprocess adds to
the bare commands of the same stages.

    python3 bench/dials.py [--part codecs|overhead]

Needs DIALS (Debian: dials python3-hdf5plugin). The spots are the same from every file: that is
checked. Wall time is of nproc processes; CPU is of all of them.
"""

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
    movie = os.path.join(scratch, "movie.emd")
    if not os.path.exists(movie):
        subprocess.run([benchlib.emd_tool(args, "emdsim"), "-q", "--size", args.size, "--frames", args.frames, movie],
                       check=True)
    movies = {"uncompressed": movie}
    for codec in CODECS:
        movies[codec] = os.path.join(scratch, f"{codec}.emd")
        subprocess.run([benchlib.emd_tool(args, "emdrepack"), "-f", "-q", "-c", codec, movie, movies[codec]], check=True)
    return movies


def codecs(args, scratch):
    movies = make_movies(args, scratch)
    env = environment(args)
    runs, spots = [], {}
    for name, movie in movies.items():
        expt, refl = (os.path.join(scratch, f"{name}.{x}") for x in ("expt", "refl"))
        log = f"output.log={os.path.join(scratch, name)}.log"
        runs.append(benchlib.Run(f"import, {name}", [*IMPORT, movie, f"output.experiments={expt}", log],
                                 output=expt, env=env))
        runs.append(benchlib.Run(f"find_spots, {name}", [*SPOTS, expt, f"output.reflections={refl}",
                                                         f"nproc={args.nproc}", log], output=refl, env=env))
        spots[name] = refl
        benchlib.warm(movie)
    results = benchlib.interleave(runs, args.rounds, warmup=args.warmup)
    sizes = {os.path.getsize(r) for r in spots.values()}
    assert len(sizes) == 1, f"not the same spots: {sizes}"
    table = benchlib.Table("contestant", "movie MB", "wall s", "CPU s", "spread", "wall vs uncompressed",
                           "CPU vs uncompressed", "times faster than gzip")
    for run in runs:
        stage, name = run.name.split(", ")
        r, base, gzip = (results[f"{stage}, {n}"] for n in (name, "uncompressed", "gzip"))
        table.add(run.name, os.path.getsize(movies[name]) / 1e6, r.wall, r.cpu, r.spread,
                  1 / benchlib.paired_ratio(base, r), 1 / benchlib.paired_ratio(base, r, "cpu"),
                  benchlib.paired_ratio(gzip, r))
    benchlib.record(f"dials: import and find_spots, {args.size} x {args.size} x {args.frames}", table, args,
                    notes=[f"nproc={args.nproc}; warm page cache; the same spots from every file",
                           f"{args.rounds} interleaved rounds"])


def overhead(args, scratch):
    """Stages of the P1 recipe by emdprocess and by hand."""
    project = os.path.join(scratch, "project")
    shutil.rmtree(project, ignore_errors=True)
    os.makedirs(os.path.join(project, "images"))
    movie = make_movies(args, scratch)["uncompressed"]
    os.link(movie, os.path.join(project, "images", "movie.emd"))
    bare, trial = (os.path.join(project, "movie", x) for x in ("bare", "P1"))

    def fresh(folder):
        def remove():
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
        return remove

    tool = benchlib.emd_tool(args, "emdprocess")
    shell = (f"cd {bare} && dials.import ../../images/movie.emd panel.pedestal=-40 && "
             f"dials.find_spots imported.expt gain=0.8 max_separation=4 nproc={args.nproc}")
    env = environment(args)
    runs = [benchlib.Run("bare commands", ["sh", "-c", shell], env=env, before=fresh(bare)),
            benchlib.Run("emdprocess", [tool, "-q", "--project", project, "-j", args.nproc, "--stage",
                                        "import,find_spots", "P1"], env=env, before=fresh(trial))]
    results = benchlib.interleave(runs, args.rounds, warmup=args.warmup)
    table = benchlib.Table("contestant", "wall s", "CPU s", "spread", "wall vs bare", "CPU vs bare")
    for run in runs:
        r, base = results[run.name], results["bare commands"]
        table.add(run.name, r.wall, r.cpu, r.spread, 1 / benchlib.paired_ratio(base, r),
                  1 / benchlib.paired_ratio(base, r, "cpu"))
    done = benchlib.Run("nothing to do", runs[1].argv, env=env)
    r = benchlib.interleave([done], 5)[done.name]
    table.add("emdprocess, nothing to do", r.wall, r.cpu, r.spread, None, None)
    benchlib.record("dials: what emdprocess adds to import and find_spots", table, args,
                    notes=[f"{args.size} x {args.size} x {args.frames}, nproc={args.nproc}, "
                           f"{args.rounds} interleaved rounds"])


def main():
    p = benchlib.parser(__doc__, rounds=3)
    p.add_argument("--size", default="1024")
    p.add_argument("--frames", default="160")
    p.add_argument("--nproc", default=str(os.cpu_count()))
    p.add_argument("--warmup", action="store_true", help="one round more, which does not count")
    p.add_argument("--part", choices=("codecs", "overhead"), help="only this (both)")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    if not shutil.which("dials.import"):
        sys.exit("dials.py: DIALS is not installed")
    with benchlib.scratch_folder(args) as scratch:
        scratch = os.path.abspath(scratch)
        for part in (codecs, overhead):
            if args.part in (None, part.__name__):
                part(args, scratch)


if __name__ == "__main__":
    main()
