/* Messages between berth (fetch.c) and berth-fetch (libexec/berth-fetch): JSON objects, one a
 * packet, at most FETCH_MESSAGE_MAX bytes; manifests and small blobs travel as memfds beside them.
 *
 *   request  {"op": NAME, "id": N, ...}                 + descriptors
 *   answer   {"id": N, "event": "done"|"failed"|"progress"|"note"|"rate", ...}
 */
#pragma once

#define FETCH_MESSAGE_MAX 65536
/* berth-fetch's end of the socket. */
#define FETCH_SOCKET_FD 3
