/* The two halves of the TOML reader: values (toml-value.c) and the tables they are put into
 * (toml.c). */
#pragma once

#include <stdbool.h>

#include "codec/toml.h"

enum toml_kind { TOML_VALUE, TOML_ARRAY, TOML_TABLE, TOML_TABLES };

/* How a table came to be, which decides whether a header or a dotted key may add to it. */
enum toml_origin {
        TOML_IMPLIED, /* by a header of a table below it */
        TOML_HEADER,
        TOML_DOTTED, /* by a dotted key */
        TOML_INLINE  /* complete where it stands */
};

struct toml_node {
        enum toml_kind kind;
        enum toml_origin origin;
        const char *name;
        struct json value;             /* TOML_VALUE */
        struct toml_node *first, *end; /* members, items or tables */
        struct toml_node *next;
        uint32_t n;
};

struct toml_reader {
        struct arena *a;
        const char *s, *end;
        const char *at; /* where an error is, if not at s */
        const char *what;
        const char *key;
        unsigned keys, depth;
        int limit; /* -E2BIG where a limit was the reason */
};

int toml_fail(struct toml_reader *r, const char *what); /* always -EINVAL */
int toml_peek(const struct toml_reader *r);             /* the next byte, or -1 at the end */
void toml_blanks(struct toml_reader *r);
/* A comment, if there is one, and the end of the line or text. */
int toml_line_end(struct toml_reader *r);
/* Blanks, comments and line ends. */
int toml_space(struct toml_reader *r);
struct toml_node *toml_add(struct toml_reader *r, struct toml_node *parent, const char *name,
                           enum toml_kind kind);
/* A value into n, whose kind follows. */
int toml_value(struct toml_reader *r, struct toml_node *n);
/* One part of a key, bare or quoted. */
int toml_key(struct toml_reader *r, const char **ret);
/* KEY = VALUE into table. */
int toml_pair(struct toml_reader *r, struct toml_node *table);
