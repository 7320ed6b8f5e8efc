/* A container's output as entries of systemd's journal, by its native protocol
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a line. Fields are those of podman and docker:
 * MESSAGE, PRIORITY (6, and 3 of standard error), CONTAINER_ID, CONTAINER_ID_FULL, CONTAINER_NAME,
 * CONTAINER_TAG, SYSLOG_IDENTIFIER, and CONTAINER_PARTIAL_MESSAGE where the line goes on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_JOURNALD_SOCKET "/run/systemd/journal/socket"

struct log_journald_line {
        const char *fields; /* what is the same for all lines, each "NAME=value\n" */
        size_t fields_len;
        bool is_error, partial;
        const char *head, *text; /* the message, in two parts */
        size_t head_len, text_len;
};

/* A socket, or -errno: -ENOENT, there is no journal. */
int log_journald_open(void);
/* Waits a moment for a journal that is behind, not for ever: a container must not depend on it. 0,
 * or -errno: the line is lost. */
int log_journald_send(int sock, const struct log_journald_line *l);
