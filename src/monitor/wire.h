/* The monitor's socket, `ctl` in the container's run directory: SOCK_SEQPACKET, one request a
 * connection.
 *
 * A client sends struct wire_request. What follows depends on the operation:
 *
 *   WIRE_ATTACH  packets both ways, each a byte that says what it is and then data: WIRE_STDIN,
 *                WIRE_EOF and WIRE_RESIZE (struct wire_size) to the monitor; WIRE_STDOUT,
 *                WIRE_STDERR and, last, WIRE_EXIT (an int32_t, the exit code) from it. The reply
 *                comes first. One primary client gets WIRE_LAST in place of WIRE_EXIT: the monitor
 *                keeps its connection until it has done what is to be done at the end. It may leave
 *                the last of a removal to the monitor: WIRE_REST, with the container's directory,
 *                locked.
 *   others       one struct wire_reply, at once, or (WIRE_STOP, WIRE_WAIT, WIRE_READY) when it has
 *                happened.
 *
 * Only root and the container's owner can open the directory; the kernel tells who asks
 * (SO_PEERCRED), which is what the evidence says of it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum wire_op {
        WIRE_ATTACH = 1,
        WIRE_STOP,    /* signal (0: its stop signal), SIGKILL after timeout_ms; no restart */
        WIRE_WAIT,    /* for its next exit */
        WIRE_SIGNAL,  /* to init of whichever life this is; between two, ends the wait */
        WIRE_REOPEN,  /* the log */
        WIRE_HEALTH,  /* run the health check now */
        WIRE_RESTART, /* stop, then start again, by this same monitor */
        WIRE_RELOAD,  /* monitor.json has changed: name, restart policy */
        WIRE_READY    /* once it is ready, by its sdnotify mode; -ECANCELED: it has ended before */
};
enum wire_attach_flags {
        WIRE_WITH_STDIN = 1,
        WIRE_WITH_STDOUT = 2,
        WIRE_WITH_STDERR = 4,
        WIRE_PRIMARY = 8 /* a terminal that must not miss anything: the container waits for it */
};
struct wire_request {
        uint32_t op, flags;
        int32_t signal;
        int64_t timeout_ms; /* -1: the container's own */
        char why[64];       /* "berth stop": for the evidence */
};
struct wire_reply {
        int32_t status; /* 0, or -errno */
        int32_t exit_code;
        uint8_t tty, oom_killed, unused[2];
};
enum wire_packet {
        WIRE_STDIN = 'i',
        WIRE_EOF = 'e',
        WIRE_RESIZE = 'w',
        WIRE_STDOUT = 'o',
        WIRE_STDERR = 'r',
        WIRE_EXIT = 'x',
        WIRE_LAST = 'l',
        WIRE_REST = 'd'
};
struct wire_size {
        uint16_t rows, cols;
};
#define WIRE_PACKET_MAX 32769 /* the kind, and 32 KiB */

/* What a monitor is told by who started it, once: the descriptors of enum monitor_fd that come with
 * it, 1 << each. */
struct wire_order {
        uint32_t which;
        uint32_t mounts;    /* further descriptors: detached mounts for mounts/0, mounts/1, ... */
        uint32_t preserved; /* and further ones: those that the first life gets, from 3 on */
};
#define WIRE_MOUNTS_MAX 8
#define WIRE_PRESERVED_MAX 32
/* What may come before that: what is going to be started. Its config.json is there already. */
struct wire_ahead {
        uint32_t which; /* 0, which no order has */
        uint32_t start_timeout_ms;
        bool tty, notify;
        char id[128], bundle[512], oci_root[512]; /* longer ones are not told ahead */
};
/* What the monitor tells who started it, over the socket it was given: once, when the container
 * runs or has failed to. */
struct wire_started {
        struct err err; /* ERR_NONE: it runs */
        int32_t pid;
};

void wire_send_ahead(int sock, uint32_t start_timeout_ms, bool tty, bool notify, const char *id,
                     const char *bundle, const char *oci_root);

/* Connects to the monitor of the container whose run directory this is. A descriptor or -errno:
 * -ENOENT and -ECONNREFUSED, there is none. */
int wire_connect(int run);
/* Waits until the monitor has sent something, or is gone; timeout_ms -1: for ever. 0, -ETIMEDOUT,
 * -ESTALE: it is stopped (SIGSTOP, a debugger). */
int wire_await(int sock, int timeout_ms);
/* Says so: sys is what wire_await() or wire_call() returned. Returns -1. */
int wire_no_answer(int sys, struct err *e);
/* Sends a request and waits for its reply. As wire_await(), and -ECONNRESET: the monitor died;
 * -EUSERS: it has all the clients that it can have. */
int wire_call(int run, const struct wire_request *q, int timeout_ms, struct wire_reply *ret);
/* WIRE_REST over a connection that WIRE_LAST came over; dir is passed on, not closed. 0, or -errno:
 * there is no monitor to do it any more. */
int wire_leave(int sock, int dir);
/* What comes over a connection that is kept: a directory, or -1: its client has gone. */
int wire_left(int sock);
/* The monitor's end. */
int wire_listen(int run);
