/* sd_notify(3) for containers: a socket of the container's own, whose READY=1 reaches the service
 * manager only once the container is ready. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct container;
struct init;

/* Where the socket appears inside. */
#define SD_NOTIFY_DIR "/run/notify"
#define SD_NOTIFY_INSIDE SD_NOTIFY_DIR "/notify.sock"

/* Makes <state>/notify/notify.sock's directory. */
int sd_notify_make(struct container *c, struct err *e);
/* A bound socket to receive on, in <state>/notify; -1 with e. To be called before init may
 * start. */
int sd_notify_listen(struct container *c, struct err *e);
/* Of a container's message (ended by a NUL): whether it says READY=1. to gets the lines that the
 * manager should hear: pids inside mean nothing outside, so MAINPID is not among them; without all
 * READY=1 alone. Pure, and fuzzed. */
bool sd_notify_read(const char *text, bool all, struct buf *to);
/* Tells $NOTIFY_SOCKET, whose value path is. */
int sd_notify_send(const char *path, const char *text, struct err *e);
/* Forwards READY=1 (with MAINPID) to the host's socket, until ready or init (pidfd) has gone; with
 * all, goes on forwarding other messages until then. */
int sd_notify_relay(struct container *c, int sock, int pidfd, bool all, struct err *e);
