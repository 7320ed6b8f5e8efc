/* Lists: one table of columns gives the text that people read, the fields of --format and JSON.
 *
 *         static const struct column columns[] = {
 *                 { "ID", "IMAGE ID", text_id, "Id", value_id, .shown = true }, ... {} };
 *
 * Layout and headings are docker's. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"

struct table_options {
        const char
                *format; /* a template, "table TEMPLATE", "json", or NULL for the usual columns */
        bool no_heading, no_trunc;
        const void *ctx; /* for the columns' functions */
};

struct column {
        const char *name;    /* in templates: "Repository" */
        const char *heading; /* "REPOSITORY"; NULL: as .name in capitals */
        /* What people read; in a. */
        const char *(*text)(struct arena *a, const void *row, const struct table_options *o);
        const char *json; /* its member's name in JSON; NULL: none */
        struct json (*value)(struct arena *a, const void *row); /* NULL: the text, not shortened */
        bool shown;                                             /* without --format */
        bool optional; /* shown where the table's .optional names it */
};

struct table {
        const struct column *columns; /* ended by {} */
        const char *optional;         /* "Digest Size": optional columns to show, or NULL */
};

/* Appends the list of n rows, stride bytes apart. */
int table_print(const struct table *t, const void *rows, size_t n, size_t stride,
                const struct table_options *o, struct buf *out, struct err *e);

/* Columns of cells aligned as docker does it (three blanks, at least ten wide): lines of cells
 * separated by tabs. */
void table_align(const char *text, size_t n, struct buf *out);

/* Values for struct column's functions. */
struct json json_of_str(struct arena *a, const char *s); /* "" for NULL */
struct json json_of_i64(int64_t v);
struct json json_of_bool(bool v);
struct json json_of_list(struct arena *a, const char *const *v, size_t n);
/* "1.15GB", "133MB", "4.26kB": three digits, in powers of 1000. */
const char *text_size(struct arena *a, uint64_t bytes);
/* "2 weeks ago" of a time before now, in seconds since 1970; "N/A" for 0. */
const char *text_ago(struct arena *a, int64_t then, int64_t now);
/* "2 weeks", of seconds. */
const char *text_duration(struct arena *a, int64_t seconds);
/* "2024-05-18 02:08:34 +0000 UTC", and RFC 3339. */
const char *text_time(struct arena *a, int64_t when);
const char *text_rfc3339(struct arena *a, int64_t when);
