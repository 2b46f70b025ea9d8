/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The repacker's face: one file in, one smaller file out, everything else the same.
 *
 *   source --> tree copy (lib/hdf5): groups, links, attributes, types, small data as they are
 *          \-> image-like data: plan (plan.h) --> workers read, encode, verify --> in order into
 *              the output, under a temporary name --> fsync, rename
 *
 * Output bytes depend on source (with its name, folder and time), codec and version alone, never on
 * threads or timing. The source is
 * opened for reading only, is never locked, and is checked again before the output gets its name.
 */
#ifndef EMD_REPACK_REPACK_H
#define EMD_REPACK_REPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "codec/pipeline.h"

/* What to encode with. */
struct emd_codec_choice {
    char text[64];                /* as the user wrote it: "auto", "zstd:5" */
    bool is_auto;                 /* blosc with parameters chosen a dataset */
    struct emd_pipeline pipeline; /* else this; cd_values are completed a dataset. count 0: none */
};

/* Parses NAME[:LEVEL]. */
enum emd_status emd_codec_choice_parse(const char *text, struct emd_codec_choice *choice,
                                       struct emd_error *err);

enum emd_verify {
    EMD_VERIFY_NONE,
    EMD_VERIFY_CHUNK, /* every encoded chunk is decoded and compared in memory; then the finished
                         file is opened anew and all but these chunks' data is compared */
    EMD_VERIFY_FILE   /* their data are read back through HDF5, too */
};

/* HDF5's fletcher32 behind the codec. */
enum emd_checksum {
    EMD_CHECKSUM_AUTO, /* where the codec has no checksum of its own: blosc, bitshuffle */
    EMD_CHECKSUM_ALWAYS,
    EMD_CHECKSUM_NEVER
};

/* Target chunks of image stacks. */
enum emd_chunking {
    EMD_CHUNK_AUTO,  /* Velox images: a frame; else as in the source, contiguous data by planes */
    EMD_CHUNK_FRAME, /* a frame: the two image axes whole, 1 on the others */
    EMD_CHUNK_SHAPE  /* as given, where the rank fits */
};

/* A stack of images that is about to be moved: three axes or more. */
struct emd_repack_stack {
    const char *path;
    bool frames_last;                    /* (h, w, n); else the last two axes are the image */
    const struct emd_chunk_shape *shape; /* items and target chunks */
    const uint64_t *dims;                /* of the dataset */
};

struct emd_loss;
struct emd_source;
struct emd_safefile;

/* Looks at pixels on their way, so that nobody has to read them a second time. */
struct emd_repack_inspector {
    void *ctx;
    /* Is this stack of interest? *unit (0 at entry): chunks may come in parts of multiples of so
     * many bytes; 0: whole. On the calling thread. */
    bool (*begin)(void *ctx, const struct emd_repack_stack *stack, size_t *unit);
    /* Bytes 'begin' to 'end' of a target chunk of that stack, decoded (behind the dataset's edge
     * lies padding); 'raw' is the chunk's first byte. All parts of a chunk come once, upwards, from
     * one thread; chunks from any thread, in any order; those that were never written do not come.
     */
    void (*chunk)(void *ctx, const uint64_t *origin, const void *raw, size_t begin, size_t end);
    /* All data are written. *companion (NULL at entry): a finished file that is to appear together
     * with the output, or not at all; the repacker commits it. On the calling thread; 'source' is
     * still open. May be NULL. */
    enum emd_status (*finish)(void *ctx, struct emd_source *source, struct emd_safefile **companion,
                              struct emd_error *err);
};

struct emd_repack_options {
    struct emd_codec_choice codec;
    enum emd_verify verify;
    enum emd_checksum checksum;
    enum emd_chunking chunking;
    unsigned chunk_rank;
    uint64_t chunk[EMD_RANK_MAX];
    size_t memory;   /* bytes for all buffers; 0: a quarter of RAM, at most 2 GiB */
    bool replace;    /* an existing output may go */
    bool provenance; /* leave the attribute "emdrepack" on the root group, with the content hash */
    bool recompress; /* encode anew also what would become larger by it */
    bool salvage;    /* copy what can be read of a damaged file, and leave out the rest; 'lost' */
    bool dry_run;    /* plan only; no output */
    const struct emd_repack_inspector *inspector; /* may be NULL */
    int input_fd;      /* >= 0: the input, open for reading; its name is then only a name */
    int output_folder; /* >= 0: the open folder of the output, whose folder's name is ignored */

    /* Called on the calling thread; any may be NULL. */
    void *ctx;
    void (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void (*note)(void *ctx, const char *text); /* what is being done, for -v */
    /* What the output cannot hold as the input does, or what could not be looked into. */
    void (*warning)(void *ctx, const char *text);
    /* A salvage: a thing that the finished output lacks. */
    void (*lost)(void *ctx, const struct emd_loss *loss);
    bool (*cancelled)(void *ctx);
    /* The name that the output shall hold where the source has 'file', the file of the external
     * link 'path': itself, or another that lives until the next call. 'path' NULL: asked again, to
     * compare; there is nothing to be said. */
    const char *(*rename_file)(void *ctx, const char *path, const char *file);
};

enum { EMD_CONTENT_HASH_TEXT = 33 }; /* 32 hexadecimal digits and NUL */

struct emd_repack_result {
    uint64_t frames;       /* of the longest image stack */
    uint64_t raw_bytes;    /* size of the source file */
    uint64_t stored_bytes; /* size of the output file */
    uint64_t data_bytes;   /* image-like data that was encoded, plain */
    uint64_t datasets;     /* of them */
    uint64_t kept;         /* datasets left as they are stored, which is smaller */
    uint64_t need_plugin;  /* datasets that still need a filter plugin, with codec gzip or none */
    uint64_t warnings;     /* given to options->warning */
    uint64_t lost;         /* what a salvage had to leave out */
    uint64_t unchecked;    /* datasets that emd_repack_check could not look into */
    bool verified;
    char codec[64];                           /* of the largest image stack, with its parameters */
    char content_hash[EMD_CONTENT_HASH_TEXT]; /* left in the provenance; "": there is none */
};

/* Options with every default. */
void emd_repack_defaults(struct emd_repack_options *options);

/* Counts a warning about an object and hands it to options->warning. */
void emd_repack_warn(const struct emd_repack_options *options, struct emd_repack_result *result,
                     const char *path, const char *text);

/* The memory budget in bytes that these options stand for where 'threads' work: what they name, or
 * a quarter of the memory that there is, at most 2 GiB or 192 MiB per thread, whichever is more. */
size_t emd_repack_budget(const struct emd_repack_options *options, unsigned threads);

/* Repacks 'input' into 'output'. On failure nothing exists under the output's name that did not
 * before, and no temporary file is left. Uses 'pool' for its work; one call at a time a pool, and
 * one at a time a process (HDF5 has one global state).
 *
 * With options->salvage, EMD_OK also where the source is damaged and the output lacks something:
 * result->lost says how much, options->lost was told what, the output's provenance says it, and the
 * output does not count as verified, although all that is in it was compared as ever, nor as done
 * (emd_output_state). */
enum emd_status emd_repack_file(const char *input, const char *output,
                                const struct emd_repack_options *options, struct emd_pool *pool,
                                struct emd_repack_result *result, struct emd_error *err);

enum emd_output_state {
    EMD_OUTPUT_ABSENT,
    EMD_OUTPUT_DONE, /* a finished repack of 'input' as it is now: its size and modification time,
                        wherever it lies (a share may be mounted in another place) */
    EMD_OUTPUT_OUTDATED, /* a repack of the same file, by folder and name, in another state */
    EMD_OUTPUT_FOREIGN,  /* anything else: replacing it would lose another movie */
    EMD_OUTPUT_UNKNOWN   /* it (or the input) cannot be looked at now, or is locked */
};

/* What the file 'path' is to 'input', by its provenance. */
struct emd_output {
    const char *input, *path;
    enum emd_output_state state;
    struct emd_error why; /* of FOREIGN and UNKNOWN; names both files */
};

/* Fills state and why of each. In processes of their own (hdf5/guard.h): an output on which HDF5
 * crashes is FOREIGN. */
void emd_outputs_look(struct emd_output *output, size_t count);

/* True if it is EMD_OUTPUT_DONE. */
bool emd_repack_is_done(const char *input, const char *output);

/* Decodes every chunk of every dataset of a file. 'damage' is called for each dataset or chunk that
 * cannot be read; the result is then EMD_E_CORRUPT. What cannot be looked into (filters that are
 * not installed, data in other files) is a warning, counted in result->unchecked, and the file does
 * not count as verified. */
enum emd_status emd_repack_check(const char *path, const struct emd_repack_options *options,
                                 struct emd_pool *pool,
                                 void (*damage)(void *ctx, const char *object, const char *why),
                                 struct emd_repack_result *result, struct emd_error *err);

/* Compares all that two files hold, whatever their storage (hdf5/compare.h says what): chunks,
 * codecs and layouts may differ, emdrepack's own provenance is left out, floats are compared by
 * their bits. 'differs' is called for each difference, up to 'most' of them (0: all); the result is
 * then EMD_E_VERIFY. EMD_OK: no difference. Any other result: they could not be compared, such as
 * EMD_E_CORRUPT where one is damaged; the text names that file. Each byte is read once, by all
 * threads, within the budget of the options. */
enum emd_status emd_repack_compare(const char *a, const char *b,
                                   const struct emd_repack_options *options, struct emd_pool *pool,
                                   void (*differs)(void *ctx, const char *object, const char *what),
                                   uint64_t most, struct emd_repack_result *result,
                                   struct emd_error *err);

/* What a file holds, as docs/content-hash.md defines it, and what its provenance says of that. */
struct emd_content_hash {
    char hash[EMD_CONTENT_HASH_TEXT];
    char recorded[EMD_CONTENT_HASH_TEXT]; /* when it was written; "": not */
    char recorded_name[64];               /* of the definition; "": of none */
    char absent[256];                     /* why nothing was recorded; "" where nothing says so */
};

/* Computes the content hash of a file from its values, by all threads and within the budget of the
 * options. EMD_E_UNSUPPORTED: it has none, as the text says; the other fields of *content are
 * filled in then, too. Whether it is the recorded one is for the caller to see. */
enum emd_status emd_repack_hash(const char *path, const struct emd_repack_options *options,
                                struct emd_pool *pool, struct emd_content_hash *content,
                                struct emd_error *err);

#endif
