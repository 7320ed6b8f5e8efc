/* Logging: one record a line, to a descriptor that the program's main chose.
 *
 * Text records read `level: message`; JSON records are {"level","msg","time"} with RFC 3339
 * time, as containerd and conmon parse them (they take the last level=error record of the file).
 * Layers 0-2 log at debug only. A NULL log is silent. */
#pragma once

#include "base/err.h"
#include "base/macro.h"

enum log_level {
        LOG_LEVEL_DEBUG,
        LOG_LEVEL_INFO,
        LOG_LEVEL_WARNING,
        LOG_LEVEL_ERROR,
        LOG_LEVEL_MAX
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_MAX };

struct log {
        int fd; /* where records go; -1: nowhere */
        enum log_format format;
        enum log_level level; /* the least that is written */
        const char *program;  /* prefix of text records, e.g. "berth-oci" */
};

void log_write(const struct log *l, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define log_debug(l, ...) log_write((l), LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(l, ...) log_write((l), LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(l, ...) log_write((l), LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(l, ...) log_write((l), LOG_LEVEL_ERROR, __VA_ARGS__)
/* The error, and on a second line (text) or in the same message (JSON) its hint. */
void log_err(const struct log *l, enum log_level level, const struct err *e);
extern const char *const log_level_names[LOG_LEVEL_MAX];
