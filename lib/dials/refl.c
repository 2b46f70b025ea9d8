/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See refl.h. Heads are decoded here, since msgpack-c's unpackers want the whole object, with the
 * binary columns, in memory; msgpack-c packs what is written around the columns.
 *
 * Tried and lost: the whole file in memory and rows gathered there (the peak is the file's size and
 * the page faults cost as much as the copy); mmap (a file that another program cuts short raises
 * SIGBUS). */
#include "dials/refl.h"

#include <errno.h>
#include <fcntl.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "dials/gzipfile.h"

/* DIALS writes some 40 columns; 65535 is the longest map16. Names and identifiers are short. */
enum { MOST_COLUMNS = 65535, LONGEST_NAME = 1000 };
/* Bytes that pass through memory at a time: large against a system call, small against a cache. No
 * more than the file has, which makes small tables quick. */
enum { STEP = 1 << 20 };
/* A table inflates to no more: its binaries have 4 GiB at most each, and only shoeboxes get there.
 */
static const uint64_t most_inflated = (uint64_t)64 << 30;
static const char table_title[] = "dials::af::reflection_table";

enum kind { FIXED, SHOEBOX, FRAME_SHOEBOX };

struct column {
    char *name, *type;
    enum kind kind;
    size_t row;              /* bytes a row, if FIXED */
    uint64_t offset, length; /* of the binary in the file */
};

struct emd_refl {
    int fd;
    struct stat st;
    size_t step;
    unsigned version;
    uint64_t rows;
    bool gzipped;
    bool has_rows, has_identifiers, has_data;
    unsigned char order[3]; /* of the three members: first letters of their keys */
    struct emd_refl_identifier *identifiers;
    size_t identifier_count;
    struct column *columns;
    size_t column_count;
};

/* --- heads ------------------------------------------------------------------------------------*/

/* A forward reader of the file with a small window. */
struct reader {
    int fd;
    uint64_t size, at;
    uint64_t start; /* window: bytes [start, start + length) of the file */
    size_t length;
    unsigned char window[4096];
};

/* n bytes at the reader's place, n <= sizeof window; NULL with *err. */
static const unsigned char *take(struct reader *r, size_t n, enum emd_status *status,
                                 struct emd_error *err)
{
    if (n > r->size - r->at) {
        *status = emd_fail(err, EMD_E_CORRUPT, "cut short: it ends at byte %llu",
                           (unsigned long long)r->size);
        return NULL;
    }
    if (r->at < r->start || r->at + n > r->start + r->length) {
        uint64_t rest = r->size - r->at;
        r->start = r->at;
        r->length = rest < sizeof r->window ? (size_t)rest : sizeof r->window;
        if (emd_pread_all(r->fd, r->window, r->length, r->start) != 0) {
            *status = errno == ENODATA
                          ? emd_fail(err, EMD_E_CHANGED, "it became shorter while it was read")
                          : emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
            r->length = 0;
            return NULL;
        }
    }
    r->at += n;
    return r->window + (r->at - n - r->start);
}

static uint64_t big_endian(const unsigned char *p, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

enum token { T_UINT, T_STR, T_BIN, T_ARRAY, T_MAP };

/* Reads a token's head: *value is the number, or the count of bytes or entries that follow. */
static enum emd_status read_head(struct reader *r, enum token want, const char *what,
                                 uint64_t *value, struct emd_error *err)
{
    static const struct {
        unsigned char code;
        enum token token;
        unsigned char bytes;
    } heads[] = {{0xcc, T_UINT, 1}, {0xcd, T_UINT, 2}, {0xce, T_UINT, 4},  {0xcf, T_UINT, 8},
                 {0xd9, T_STR, 1},  {0xda, T_STR, 2},  {0xdb, T_STR, 4},   {0xc4, T_BIN, 1},
                 {0xc5, T_BIN, 2},  {0xc6, T_BIN, 4},  {0xdc, T_ARRAY, 2}, {0xdd, T_ARRAY, 4},
                 {0xde, T_MAP, 2},  {0xdf, T_MAP, 4}};
    enum emd_status status = EMD_OK;
    uint64_t start = r->at;
    const unsigned char *p = take(r, 1, &status, err);
    if (!p)
        return status;
    unsigned char code = *p;
    if (code < 0x80 && want == T_UINT)
        *value = code;
    else if (code >= 0xa0 && code < 0xc0 && want == T_STR)
        *value = code & 0x1f;
    else if (code >= 0x90 && code < 0xa0 && want == T_ARRAY)
        *value = code & 0x0f;
    else if (code >= 0x80 && code < 0x90 && want == T_MAP)
        *value = code & 0x0f;
    else {
        for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
            if (heads[i].code != code || heads[i].token != want)
                continue;
            p = take(r, heads[i].bytes, &status, err);
            if (!p)
                return status;
            *value = big_endian(p, heads[i].bytes);
            return EMD_OK;
        }
        return emd_fail(err, start == 0 ? EMD_E_FORMAT : EMD_E_CORRUPT,
                        "not a reflection table: no %s at byte %llu", what,
                        (unsigned long long)start);
    }
    return EMD_OK;
}

/* A string of at most LONGEST_NAME bytes without NUL, in memory that the caller frees. */
static enum emd_status read_text(struct reader *r, const char *what, char **out,
                                 struct emd_error *err)
{
    uint64_t n = 0;
    enum emd_status status = read_head(r, T_STR, what, &n, err);
    if (status != EMD_OK)
        return status;
    if (n > LONGEST_NAME)
        return emd_fail(err, EMD_E_CORRUPT, "%s of %llu bytes", what, (unsigned long long)n);
    const unsigned char *p = take(r, (size_t)n, &status, err);
    if (!p)
        return status;
    if (memchr(p, '\0', (size_t)n))
        return emd_fail(err, EMD_E_CORRUPT, "%s with a NUL", what);
    char *text = malloc((size_t)n + 1);
    if (!text)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    memcpy(text, p, (size_t)n);
    text[n] = '\0';
    *out = text;
    return EMD_OK;
}

static enum emd_status read_identifiers(struct reader *r, struct emd_refl *refl,
                                        struct emd_error *err)
{
    uint64_t n = 0;
    enum emd_status status = read_head(r, T_MAP, "map of identifiers", &n, err);
    if (status != EMD_OK)
        return status;
    if (n > (r->size - r->at) / 2) /* an entry has two bytes at least */
        return emd_fail(err, EMD_E_CORRUPT, "cut short: %llu identifiers do not fit",
                        (unsigned long long)n);
    refl->identifiers = calloc((size_t)n + 1, sizeof *refl->identifiers);
    if (!refl->identifiers)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (uint64_t i = 0; i < n && status == EMD_OK; i++) {
        char *text = NULL;
        status = read_head(r, T_UINT, "experiment id", &refl->identifiers[i].id, err);
        if (status == EMD_OK)
            status = read_text(r, "identifier", &text, err);
        if (status == EMD_OK) {
            refl->identifiers[i].text = text;
            refl->identifier_count++;
        }
    }
    return status;
}

/* Bytes a row of the types that DIALS declares. A std::string is a C++ object with a pointer,
 * which has no meaning in a file. */
static const struct {
    const char *type;
    enum kind kind;
    size_t row;
} types[] = {{"bool", FIXED, 1},
             {"int", FIXED, 4},
             {"std::size_t", FIXED, 8},
             {"double", FIXED, 8},
             {"cctbx::miller::index<>", FIXED, 12},
             {"vec2<double>", FIXED, 16},
             {"vec3<double>", FIXED, 24},
             {"int6", FIXED, 24},
             {"mat3<double>", FIXED, 72},
             {"Shoebox<>", SHOEBOX, 0},
             {"FrameSlicedShoebox<>", FRAME_SHOEBOX, 0}};

static enum emd_status read_column(struct reader *r, struct column *column, uint64_t *rows,
                                   struct emd_error *err)
{
    uint64_t n = 0;
    enum emd_status status = read_text(r, "column name", &column->name, err);
    if (status == EMD_OK)
        status = read_head(r, T_ARRAY, "column", &n, err);
    if (status == EMD_OK && n != 2)
        status = emd_fail(err, EMD_E_CORRUPT, "column '%s' is no pair", column->name);
    if (status == EMD_OK)
        status = read_text(r, "column type", &column->type, err);
    if (status == EMD_OK)
        status = read_head(r, T_ARRAY, "column data", &n, err);
    if (status == EMD_OK && n != 2)
        status = emd_fail(err, EMD_E_CORRUPT, "the data of column '%s' are no pair", column->name);
    if (status == EMD_OK)
        status = read_head(r, T_UINT, "count of rows", rows, err);
    if (status == EMD_OK)
        status = read_head(r, T_BIN, "binary", &column->length, err);
    if (status != EMD_OK)
        return status;
    column->offset = r->at;
    if (column->length > r->size - r->at)
        return emd_fail(err, EMD_E_CORRUPT, "cut short within column '%s'", column->name);
    r->at += column->length;
    return EMD_OK;
}

/* Finds how the column splits into rows and checks its length. */
static enum emd_status check_column(const struct emd_refl *refl, struct column *column,
                                    uint64_t rows, struct emd_error *err)
{
    bool known = false;
    if (rows != refl->rows)
        return emd_fail(err, EMD_E_CORRUPT, "column '%s' has %llu rows, the table %llu",
                        column->name, (unsigned long long)rows, (unsigned long long)refl->rows);
    for (size_t i = 0; i < sizeof types / sizeof *types && !known; i++) {
        known = strcmp(types[i].type, column->type) == 0;
        column->kind = types[i].kind;
        column->row = types[i].row;
    }
    if (!known) {
        column->kind = FIXED;
        column->row = rows ? (size_t)(column->length / rows) : 0;
        if (strcmp(column->type, "std::string") == 0 && rows > 0)
            return emd_fail(err, EMD_E_UNSUPPORTED, "column '%s' of type %s cannot be split",
                            column->name, column->type);
        if (column->row * rows != column->length || column->row > STEP ||
            (rows > 0 && column->row == 0))
            return emd_fail(err, EMD_E_UNSUPPORTED,
                            "column '%s' of unknown type %s cannot be split into %llu rows",
                            column->name, column->type, (unsigned long long)rows);
    }
    uint64_t least = column->kind == SHOEBOX ? 29 : column->kind == FRAME_SHOEBOX ? 4 : column->row;
    if (rows > 0 && (least > 0 && rows > column->length / least))
        return emd_fail(err, EMD_E_CORRUPT, "column '%s' is too short for %llu rows", column->name,
                        (unsigned long long)rows);
    if (column->kind == FIXED && column->row * rows != column->length)
        return emd_fail(err, EMD_E_CORRUPT, "column '%s' has %llu bytes, not %llu", column->name,
                        (unsigned long long)column->length,
                        (unsigned long long)(column->row * rows));
    return EMD_OK;
}

static enum emd_status read_columns(struct reader *r, struct emd_refl *refl, uint64_t **rows,
                                    struct emd_error *err)
{
    uint64_t n = 0;
    enum emd_status status = read_head(r, T_MAP, "map of columns", &n, err);
    if (status != EMD_OK)
        return status;
    if (n > MOST_COLUMNS)
        return emd_fail(err, EMD_E_CORRUPT, "%llu columns", (unsigned long long)n);
    refl->columns = calloc((size_t)n + 1, sizeof *refl->columns);
    *rows = calloc((size_t)n + 1, sizeof **rows);
    if (!refl->columns || !*rows)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    for (uint64_t i = 0; i < n && status == EMD_OK; i++) {
        status = read_column(r, &refl->columns[i], &(*rows)[i], err);
        refl->column_count++;
    }
    return status;
}

/* The three members, in any order, each at most once. */
static enum emd_status read_table(struct reader *r, struct emd_refl *refl, struct emd_error *err)
{
    uint64_t n = 0, version = 0, *rows = NULL;
    char *text = NULL;
    enum emd_status status = read_head(r, T_ARRAY, "table", &n, err);
    if (status != EMD_OK || n != 3)
        return status != EMD_OK ? status : emd_fail(err, EMD_E_FORMAT, "not a reflection table");
    status = read_text(r, "title", &text, err);
    if (status == EMD_OK && strcmp(text, table_title) != 0)
        status = emd_fail(err, EMD_E_FORMAT, "not a reflection table");
    free(text);
    if (status == EMD_OK)
        status = read_head(r, T_UINT, "version", &version, err);
    if (status == EMD_OK && version != 1 && version != 2)
        status = emd_fail(err, EMD_E_UNSUPPORTED, "version %llu of the format is not known",
                          (unsigned long long)version);
    if (status == EMD_OK)
        status = read_head(r, T_MAP, "content", &n, err);
    for (uint64_t i = 0; i < n && status == EMD_OK; i++) {
        status = read_text(r, "member name", &text, err);
        if (status != EMD_OK)
            break;
        bool *seen = strcmp(text, "identifiers") == 0 ? &refl->has_identifiers
                     : strcmp(text, "nrows") == 0     ? &refl->has_rows
                     : strcmp(text, "data") == 0      ? &refl->has_data
                                                      : NULL;
        if (!seen || *seen) {
            status = emd_fail(err, seen ? EMD_E_CORRUPT : EMD_E_UNSUPPORTED,
                              "a %s member '%s' in the table", seen ? "second" : "new", text);
        } else {
            *seen = true;
            refl->order[i] = (unsigned char)*text;
            status = *text == 'i'   ? read_identifiers(r, refl, err)
                     : *text == 'n' ? read_head(r, T_UINT, "count of rows", &refl->rows, err)
                                    : read_columns(r, refl, &rows, err);
        }
        free(text);
    }
    if (status == EMD_OK && (!refl->has_rows || !refl->has_data))
        status = emd_fail(err, EMD_E_CORRUPT, "a table without %s",
                          refl->has_rows ? "data" : "a count of rows");
    if (status == EMD_OK && r->at != r->size)
        status = emd_fail(err, EMD_E_CORRUPT, "%llu more bytes follow the table",
                          (unsigned long long)(r->size - r->at));
    if (status == EMD_OK && refl->rows > 0 && refl->column_count == 0)
        status = emd_fail(err, EMD_E_CORRUPT, "%llu rows without a column",
                          (unsigned long long)refl->rows);
    for (size_t i = 0; i < refl->column_count && status == EMD_OK; i++)
        status = check_column(refl, &refl->columns[i], rows[i], err);
    refl->version = (unsigned)version;
    free(rows);
    return status;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* --- opening ----------------------------------------------------------------------------------*/

/* Other files than tables, by their first bytes. */
static const struct {
    const char *magic;
    size_t length;
    const char *text;
} others[] = {
    {"\x89HDF\r\n\x1a\n", 8, "an HDF5 table, as DIALS writes with DIALS_USE_H5"},
    {"\x80\x02", 2, "a pickled table, as DIALS writes with DIALS_USE_PICKLE"},
    {"\x80\x03", 2, "a pickled table, as DIALS writes with DIALS_USE_PICKLE"},
    {"\x80\x04", 2, "a pickled table, as DIALS writes with DIALS_USE_PICKLE"},
    {"\x80\x05", 2, "a pickled table, as DIALS writes with DIALS_USE_PICKLE"},
    {"cdials_array_family", 19, "a pickled table, as DIALS writes with DIALS_USE_PICKLE"},
    {"ccopy_reg\n", 10, "a pickled table, as DIALS writes with DIALS_USE_PICKLE"},
};
static const struct {
    const char *magic;
    size_t length;
    const char *program;
} packers[] = {{"BZh", 3, "bunzip2"},
               {"\xfd"
                "7zXZ",
                5, "unxz"},
               {"\x28\xb5\x2f\xfd", 4, "unzstd"},
               {"\x1f\x9d", 2, "uncompress"}};

/* Says of what is not a table what it is. */
static enum emd_status accept_table(const unsigned char *data, size_t n, struct emd_error *err)
{
    const size_t title = sizeof table_title - 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (n >= others[i].length && memcmp(data, others[i].magic, others[i].length) == 0)
            return emd_fail(err, EMD_E_FORMAT,
                            "%s; only MessagePack tables are read: run DIALS without that variable",
                            others[i].text);
    for (size_t i = 0; i < sizeof packers / sizeof *packers; i++)
        if (n >= packers[i].length && memcmp(data, packers[i].magic, packers[i].length) == 0)
            return emd_fail(err, EMD_E_FORMAT, "compressed; unpack it with %s first",
                            packers[i].program);
    if (n > 0 && (*data == '{' || *data == '['))
        return emd_fail(err, EMD_E_FORMAT, "not a reflection table: JSON text");
    /* Heads of one to five bytes each stand before the title; short files are left to the parser.
     */
    size_t at = 0;
    while (at + title <= n && at < 16 && memcmp(data + at, table_title, title) != 0)
        at++;
    if (at == 16)
        return emd_fail(err, EMD_E_FORMAT, "not a reflection table");
    return EMD_OK;
}

static const char *temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder && *folder ? folder : "/tmp";
}

static enum emd_status open_temporary(int *fd, struct emd_error *err)
{
    *fd = emd_open_unnamed(temporary_folder());
    return *fd >= 0 ? EMD_OK
                    : emd_fail_errno(err, EMD_E_IO, errno, "cannot make a temporary file in %s",
                                     temporary_folder());
}

/* Puts an inflated copy, without a name, in place of refl->fd. */
static enum emd_status inflate_table(struct emd_refl *refl, struct emd_error *err)
{
    struct stat now;
    int fd;
    enum emd_status status = open_temporary(&fd, err);
    if (status != EMD_OK)
        return status;
    status = emd_gunzip(refl->fd, fd, most_inflated, accept_table, err);
    if (status == EMD_E_IO)
        emd_fail_prefix(err, status, "inflating into %s (TMPDIR)", temporary_folder());
    if (status == EMD_OK && (fstat(refl->fd, &now) != 0 || now.st_size != refl->st.st_size ||
                             !same_time(&now.st_mtim, &refl->st.st_mtim)))
        status = emd_fail(err, EMD_E_CHANGED, "it changed while it was read");
    close(refl->fd);
    refl->fd = fd;
    refl->gzipped = true;
    if (status == EMD_OK && fstat(fd, &refl->st) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
    if (status == EMD_OK && refl->st.st_size == 0)
        status = emd_fail(err, EMD_E_FORMAT, "the file is empty");
    return status;
}

/* Tells by its first bytes what the file is. */
static enum emd_status recognise(struct emd_refl *refl, struct emd_error *err)
{
    unsigned char first[64];
    size_t n = refl->st.st_size < (off_t)sizeof first ? (size_t)refl->st.st_size : sizeof first;
    if (emd_pread_all(refl->fd, first, n, 0) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
    return emd_is_gzip(first, n) ? inflate_table(refl, err) : accept_table(first, n, err);
}

enum emd_status emd_refl_open_fd(int fd, struct emd_refl **out, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    struct emd_refl *refl = calloc(1, sizeof *refl);
    struct reader *reader = calloc(1, sizeof *reader);
    *out = NULL;
    if (!refl || !reader) {
        free(reader);
        free(refl);
        close(fd);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    refl->fd = fd;
    if (fstat(fd, &refl->st) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
    else if (!S_ISREG(refl->st.st_mode))
        status = emd_fail(err, EMD_E_UNSUPPORTED, "not a regular file");
    else if (refl->st.st_size == 0)
        status = emd_fail(err, EMD_E_FORMAT, "the file is empty");
    if (status == EMD_OK)
        status = recognise(refl, err);
    if (status == EMD_OK) {
        reader->fd = refl->fd;
        reader->size = (uint64_t)refl->st.st_size;
        refl->step = reader->size < STEP ? (size_t)reader->size : STEP;
        status = read_table(reader, refl, err);
    }
    free(reader);
    if (status != EMD_OK) {
        emd_refl_close(refl);
        return status;
    }
    *out = refl;
    return EMD_OK;
}

enum emd_status emd_refl_open(const char *path, struct emd_refl **out, struct emd_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *out = NULL;
    if (fd < 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot open");
    return emd_refl_open_fd(fd, out, err);
}

void emd_refl_close(struct emd_refl *refl)
{
    if (!refl)
        return;
    for (size_t i = 0; i < refl->identifier_count; i++)
        free((void *)(uintptr_t)refl->identifiers[i].text);
    free(refl->identifiers);
    for (size_t i = 0; i < refl->column_count; i++) {
        free(refl->columns[i].name);
        free(refl->columns[i].type);
    }
    free(refl->columns);
    close(refl->fd);
    free(refl);
}

unsigned emd_refl_version(const struct emd_refl *refl)
{
    return refl->version;
}

uint64_t emd_refl_rows(const struct emd_refl *refl)
{
    return refl->rows;
}

uint64_t emd_refl_bytes(const struct emd_refl *refl)
{
    return (uint64_t)refl->st.st_size;
}

bool emd_refl_gzipped(const struct emd_refl *refl)
{
    return refl->gzipped;
}

const struct emd_refl_identifier *emd_refl_identifiers(const struct emd_refl *refl, size_t *count)
{
    *count = refl->identifier_count;
    return refl->identifiers;
}

/* --- columns ----------------------------------------------------------------------------------*/

static const struct column *find_column(const struct emd_refl *refl, const char *name)
{
    for (size_t i = 0; i < refl->column_count; i++)
        if (strcmp(refl->columns[i].name, name) == 0)
            return &refl->columns[i];
    return NULL;
}

bool emd_refl_has(const struct emd_refl *refl, const char *column)
{
    return find_column(refl, column) != NULL;
}

static enum emd_status read_failed(struct emd_error *err)
{
    return errno == ENODATA ? emd_fail(err, EMD_E_CHANGED, "it became shorter while it was read")
                            : emd_fail_errno(err, EMD_E_IO, errno, "cannot read");
}

/* Copies 'size' bytes at byte 'skip' of every row into out. */
static enum emd_status read_field(const struct emd_refl *refl, const char *name, const char *type,
                                  size_t skip, size_t size, void *out, struct emd_error *err)
{
    const struct column *column = find_column(refl, name);
    if (!column)
        return emd_fail(err, EMD_E_CORRUPT, "the table has no column '%s'", name);
    if (strcmp(column->type, type) != 0)
        return emd_fail(err, EMD_E_CORRUPT, "column '%s' has the type %s, not %s", name,
                        column->type, type);
    if (column->row == size) {
        if (emd_pread_all(refl->fd, out, (size_t)column->length, column->offset) != 0)
            return read_failed(err);
        return EMD_OK;
    }
    unsigned char *buffer = malloc(refl->step), *to = out;
    if (!buffer)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    size_t most = refl->step / column->row;
    for (uint64_t row = 0; row < refl->rows;) {
        size_t n = refl->rows - row < most ? (size_t)(refl->rows - row) : most;
        if (emd_pread_all(refl->fd, buffer, n * column->row, column->offset + row * column->row) !=
            0) {
            free(buffer);
            return read_failed(err);
        }
        for (size_t i = 0; i < n; i++, to += size)
            memcpy(to, buffer + i * column->row + skip, size);
        row += n;
    }
    free(buffer);
    return EMD_OK;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "DIALS tables hold little-endian numbers, which this file takes as they are"
#endif

enum emd_status emd_refl_read_int(const struct emd_refl *refl, const char *column, int32_t *out,
                                  struct emd_error *err)
{
    return read_field(refl, column, "int", 0, 4, out, err);
}

enum emd_status emd_refl_read_size(const struct emd_refl *refl, const char *column, uint64_t *out,
                                   struct emd_error *err)
{
    return read_field(refl, column, "std::size_t", 0, 8, out, err);
}

enum emd_status emd_refl_read_double(const struct emd_refl *refl, const char *column,
                                     unsigned component, double *out, struct emd_error *err)
{
    const struct column *c = find_column(refl, column);
    if (component == 0 && c && strcmp(c->type, "double") == 0)
        return read_field(refl, column, "double", 0, 8, out, err);
    return read_field(refl, column, "vec3<double>", 8 * (size_t)component, 8, out, err);
}

/* --- writing ----------------------------------------------------------------------------------*/

struct writer {
    struct emd_refl *refl;
    const struct emd_refl_selection *selection;
    struct emd_pool *pool;
    int fd;
    uint64_t at;      /* bytes written */
    uint64_t pending; /* of these, as emd_write_behind counts */
    msgpack_sbuffer packed;
    msgpack_packer packer; /* into 'packed': what is to be written next */
};

static enum emd_status put(struct writer *w, const void *data, size_t n, struct emd_error *err)
{
    if (w->selection->cancelled && w->selection->cancelled(w->selection->ctx))
        return emd_fail(err, EMD_E_CANCELLED, "stopped on request");
    if (emd_pwrite_all(w->fd, data, n, w->at) != 0)
        return emd_fail_errno(err, EMD_E_IO, errno, "cannot write");
    w->at += n;
    emd_write_behind(w->fd, &w->pending, n);
    return EMD_OK;
}

static enum emd_status put_packed(struct writer *w, struct emd_error *err)
{
    enum emd_status status = put(w, w->packed.data, w->packed.size, err);
    msgpack_sbuffer_clear(&w->packed);
    return status;
}

/* What stands before the binary. */
static void pack_column_head(struct writer *w, const struct column *column)
{
    msgpack_packer *packer = &w->packer;
    msgpack_pack_str_with_body(packer, column->name, strlen(column->name));
    msgpack_pack_array(packer, 2);
    msgpack_pack_str_with_body(packer, column->type, strlen(column->type));
    msgpack_pack_array(packer, 2);
    msgpack_pack_uint64(packer, w->selection->kept);
}

/* Moves the kept rows of the buffer together, for one size of row; the compiler turns the small
 * constant copies into registers. Dropped rows are copied too, and written over by the next: a
 * branch that cannot be foretold costs more. */
#define GATHER(bytes)                                                                              \
    case bytes:                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                           \
            unsigned char row[bytes];                                                              \
            memcpy(row, rows + i * (bytes), bytes);                                                \
            memcpy(to, row, bytes);                                                                \
            to += id[i] == EMD_REFL_DROP ? 0 : (bytes);                                            \
        }                                                                                          \
        break

static size_t gather(unsigned char *rows, size_t n, size_t size, const int32_t *id)
{
    unsigned char *to = rows;
    switch (size) {
        GATHER(1);
        GATHER(4);
        GATHER(8);
        GATHER(12);
        GATHER(16);
        GATHER(24);
        GATHER(72);
    default:
        for (size_t i = 0; i < n; i++) {
            if (id[i] == EMD_REFL_DROP)
                continue;
            memmove(to, rows + i * size, size);
            to += size;
        }
    }
    return (size_t)(to - rows);
}

/* Columns of rows of one size that follow each other in the table are written together: several
 * threads read pieces of them and move the kept rows together, and the calling thread writes these
 * in their order. */
struct batch {
    struct writer *w;
    const struct column *columns;
    size_t count;
    size_t *first;          /* job of each column's first piece, count + 1 of them */
    size_t step;            /* bytes of a piece at most */
    unsigned char *buffers; /* of 'step' bytes, one a slot */
    size_t *kept;           /* bytes of the piece in each slot */
};

/* Rows of a piece of the column. */
static size_t piece_rows(const struct batch *b, const struct column *column)
{
    return column->row ? b->step / column->row : 0;
}

static const struct column *column_of(const struct batch *b, size_t job, size_t *piece)
{
    size_t low = 0, high = b->count; /* first[low] <= job < first[high] */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (b->first[middle] <= job)
            low = middle;
        else
            high = middle;
    }
    *piece = job - b->first[low];
    return &b->columns[low];
}

static enum emd_status read_piece(void *ctx, size_t job, unsigned slot, unsigned thread,
                                  struct emd_error *err)
{
    const struct batch *b = ctx;
    const struct emd_refl *refl = b->w->refl;
    const struct emd_refl_selection *s = b->w->selection;
    const int32_t *replace = NULL;
    unsigned char *buffer = b->buffers + slot * b->step;
    size_t piece;
    (void)thread;
    const struct column *column = column_of(b, job, &piece);
    if (strcmp(column->type, "int") == 0) {
        if (strcmp(column->name, "id") == 0)
            replace = s->id;
        else if (strcmp(column->name, "imageset_id") == 0)
            replace = s->imageset;
    }
    size_t most = piece_rows(b, column);
    uint64_t row = (uint64_t)piece * most;
    size_t n = refl->rows - row < most ? (size_t)(refl->rows - row) : most;
    if (replace)
        memcpy(buffer, replace + row, n * 4);
    else if (emd_pread_all(refl->fd, buffer, n * column->row, column->offset + row * column->row) !=
             0)
        return read_failed(err);
    b->kept[slot] = gather(buffer, n, column->row, s->id + row);
    return EMD_OK;
}

static enum emd_status write_piece(void *ctx, size_t job, unsigned slot, struct emd_error *err)
{
    const struct batch *b = ctx;
    struct writer *w = b->w;
    size_t piece;
    const struct column *column = column_of(b, job, &piece);
    enum emd_status status = EMD_OK;
    if (piece == 0) {
        pack_column_head(w, column);
        msgpack_pack_bin(&w->packer, (size_t)(w->selection->kept * column->row));
        status = put_packed(w, err);
    }
    return status == EMD_OK ? put(w, b->buffers + slot * b->step, b->kept[slot], err) : status;
}

static enum emd_status write_fixed(struct writer *w, const struct column *columns, size_t count,
                                   struct emd_error *err)
{
    /* A slot for each thread, and as many that are full or being written. */
    unsigned threads = emd_pool_threads(w->pool), slots = 2 * threads;
    struct batch b = {.w = w, .columns = columns, .count = count, .step = w->refl->step};
    for (size_t c = 0; c < count; c++)
        if (b.step < columns[c].row)
            b.step = columns[c].row;
    b.first = calloc(count + 1, sizeof *b.first);
    b.buffers = malloc(slots * b.step);
    b.kept = calloc(slots, sizeof *b.kept);
    enum emd_status status = EMD_OK;
    if (!b.first || !b.buffers || !b.kept) {
        status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        goto out;
    }
    for (size_t c = 0; c < count; c++) {
        size_t most = piece_rows(&b, &columns[c]);
        uint64_t rows = most ? w->refl->rows : 0;
        /* A column without rows is one piece, which has its head. */
        b.first[c + 1] = b.first[c] + (rows ? (size_t)((rows - 1) / most + 1) : 1);
    }
    const struct emd_pool_run run = {.count = b.first[count],
                                     .threads = threads,
                                     .slots = slots,
                                     .ctx = &b,
                                     .work = read_piece,
                                     .deliver = write_piece};
    status = emd_pool_run(w->pool, &run, err);
out:
    free(b.kept);
    free(b.buffers);
    free(b.first);
    return status;
}

/* Bytes of a variable row: *head of them say how many *body bytes follow. 'have' bytes can be
 * looked at; false with *head 0 if that is too few, false with *head > 0 if they are nonsense. */
static bool row_size(enum kind kind, const unsigned char *p, size_t have, size_t *head,
                     uint64_t *body)
{
    *head = 0;
    *body = 0;
    if (kind == FRAME_SHOEBOX) {
        uint32_t frames;
        if (have < 4)
            return false;
        memcpy(&frames, p, 4);
        *head = 4;
        *body = 53 * (uint64_t)frames; /* 3 ints, 5 doubles and a bool a frame */
        return true;
    }
    if (have < 29)
        return false;
    int32_t box[6];
    unsigned char flag = p[28];
    memcpy(box, p + 4, 24);
    *head = 29;
    uint64_t volume = 1;
    for (int i = 0; i < 6; i += 2) {
        int64_t side = (int64_t)box[i + 1] - box[i];
        if (side < 0)
            return false;
        /* No binary is longer than 4 GiB: what is larger than that is nonsense, and small enough
         * for the next product. */
        if (flag != 0 && (volume *= (uint64_t)side) > UINT32_MAX)
            return false;
    }
    if (flag > 2)
        return false;
    *body = flag == 0 ? 0 : volume * (flag == 1 ? 12 : 9);
    return true;
}

/* Streams the rows of different lengths of a column through a buffer of refl->step bytes. The
 * head of the binary is added to what is packed if the column fits the buffer as a whole, and so
 * its length is known before it is written. */
static enum emd_status stream_rows(struct writer *w, const struct column *column, bool whole,
                                   unsigned char *buffer, struct emd_error *err)
{
    const struct emd_refl_selection *s = w->selection;
    uint64_t left = column->length, row = 0, body = 0;
    size_t have = 0, head;
    bool keep = true, prefix = column->kind == FRAME_SHOEBOX && left > 0;
    while (left > 0 || have > 0) {
        size_t room = w->refl->step - have;
        size_t more = left < room ? (size_t)left : room, at = 0, out = 0;
        if (emd_pread_all(w->refl->fd, buffer + have, more,
                          column->offset + (column->length - left)) != 0)
            return read_failed(err);
        have += more;
        left -= more;
        if (prefix) { /* one byte: the version of the column's form */
            if (buffer[0] != 3)
                return emd_fail(err, EMD_E_UNSUPPORTED, "column '%s' of form %u", column->name,
                                buffer[0]);
            prefix = false;
            at = out = 1;
        }
        for (;;) {
            size_t n = body < have - at ? (size_t)body : have - at;
            if (keep) {
                if (out != at)
                    memmove(buffer + out, buffer + at, n);
                out += n;
            }
            at += n;
            body -= n;
            if (body > 0 || row == w->refl->rows)
                break;
            if (!row_size(column->kind, buffer + at, have - at, &head, &body)) {
                if (head == 0 && left > 0)
                    break;
                return emd_fail(err, EMD_E_CORRUPT, "row %llu of column '%s' is damaged",
                                (unsigned long long)row, column->name);
            }
            if (body > left + (have - at - head))
                return emd_fail(err, EMD_E_CORRUPT,
                                "row %llu of column '%s' is larger than the rest of the column",
                                (unsigned long long)row, column->name);
            keep = s->id[row++] != EMD_REFL_DROP;
            body += head; /* copied, or not, with the rest */
        }
        if (row == w->refl->rows && body == 0 && (left > 0 || at < have))
            return emd_fail(err, EMD_E_CORRUPT, "column '%s' goes on behind its last row",
                            column->name);
        if (whole)
            msgpack_pack_bin(&w->packer, out);
        enum emd_status status = put_packed(w, err);
        if (status == EMD_OK)
            status = put(w, buffer, out, err);
        if (status != EMD_OK)
            return status;
        memmove(buffer, buffer + at, have - at);
        have -= at;
    }
    if (row < w->refl->rows)
        return emd_fail(err, EMD_E_CORRUPT, "column '%s' ends at row %llu of %llu", column->name,
                        (unsigned long long)row, (unsigned long long)w->refl->rows);
    return EMD_OK;
}

static enum emd_status write_variable(struct writer *w, const struct column *column,
                                      struct emd_error *err)
{
    unsigned char *buffer = malloc(w->refl->step);
    if (!buffer)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    pack_column_head(w, column);
    if (column->length == 0)
        msgpack_pack_bin(&w->packer, 0);
    bool whole = column->length <= STEP;
    /* Else the length is known when all rows have passed: its four bytes are written again then. */
    static const unsigned char bin32[5] = {0xc6};
    if (!whole)
        msgpack_sbuffer_write(&w->packed, (const char *)bin32, sizeof bin32);
    uint64_t start = w->at + w->packed.size;
    enum emd_status status = stream_rows(w, column, whole, buffer, err);
    uint64_t length = w->at - start;
    const unsigned char bytes[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
                                    (unsigned char)(length >> 8), (unsigned char)length};
    if (status == EMD_OK && !whole &&
        emd_pwrite_all(w->fd, bytes, sizeof bytes, start - sizeof bytes) != 0)
        status = emd_fail_errno(err, EMD_E_IO, errno, "cannot write");
    free(buffer);
    return status;
}

static enum emd_status write_columns(struct writer *w, struct emd_error *err)
{
    const struct emd_refl *refl = w->refl;
    enum emd_status status = EMD_OK;
    for (size_t i = 0, n; i < refl->column_count && status == EMD_OK; i += n) {
        const struct column *columns = &refl->columns[i];
        for (n = 0; i + n < refl->column_count && columns[n].kind == FIXED; n++)
            ;
        if (n > 0) {
            status = write_fixed(w, columns, n, err);
        } else {
            status = write_variable(w, columns, err);
            n = 1;
        }
    }
    return status;
}

static enum emd_status write_plain(struct emd_refl *refl,
                                   const struct emd_refl_selection *selection, int fd,
                                   struct emd_pool *pool, struct emd_error *err)
{
    struct writer w = {.refl = refl, .selection = selection, .pool = pool, .fd = fd};
    struct stat st;
    enum emd_status status = EMD_OK;
    msgpack_packer *packer = &w.packer;
    msgpack_sbuffer_init(&w.packed);
    msgpack_packer_init(packer, &w.packed, msgpack_sbuffer_write);
    msgpack_pack_array(packer, 3);
    msgpack_pack_str_with_body(packer, table_title, sizeof table_title - 1);
    msgpack_pack_unsigned_int(packer, refl->version);
    msgpack_pack_map(packer, 2U + refl->has_identifiers);
    for (size_t m = 0; m < 2U + refl->has_identifiers && status == EMD_OK; m++) {
        switch (refl->order[m]) {
        case 'i': {
            size_t n = refl->identifier_count ? selection->identifier_count : 0;
            msgpack_pack_str_with_body(packer, "identifiers", 11);
            msgpack_pack_map(packer, n);
            for (size_t i = 0; i < n; i++) {
                const char *text = selection->identifiers[i].text;
                msgpack_pack_uint64(packer, selection->identifiers[i].id);
                msgpack_pack_str_with_body(packer, text, strlen(text));
            }
            break;
        }
        case 'n':
            msgpack_pack_str_with_body(packer, "nrows", 5);
            msgpack_pack_uint64(packer, selection->kept);
            break;
        default:
            msgpack_pack_str_with_body(packer, "data", 4);
            msgpack_pack_map(packer, refl->column_count);
            status = write_columns(&w, err);
        }
    }
    if (status == EMD_OK)
        status = put_packed(&w, err);
    if (status == EMD_OK && fstat(refl->fd, &st) == 0 &&
        (st.st_size != refl->st.st_size || !same_time(&st.st_mtim, &refl->st.st_mtim)))
        status = emd_fail(err, EMD_E_CHANGED, "it changed while it was read");
    msgpack_sbuffer_destroy(&w.packed);
    return status;
}

enum emd_status emd_refl_write(struct emd_refl *refl, const struct emd_refl_selection *selection,
                               int fd, bool gzip, struct emd_pool *pool, struct emd_error *err)
{
    /* The plain table is written out of order, where a column's length is known late. */
    int plain;
    if (!gzip)
        return write_plain(refl, selection, fd, pool, err);
    enum emd_status status = open_temporary(&plain, err);
    if (status != EMD_OK)
        return status;
    status = write_plain(refl, selection, plain, pool, err);
    if (status == EMD_OK)
        status = emd_gzip(plain, fd, selection->cancelled, selection->ctx, err);
    close(plain);
    return status;
}
