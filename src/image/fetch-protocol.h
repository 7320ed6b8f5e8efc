/* Messages between berth (fetch.c) and berth-fetch (libexec/berth-fetch): JSON objects, one a
 * packet, at most FETCH_MESSAGE_MAX bytes; manifests and small blobs travel as memfds beside them.
 *
 *   request  {"op": NAME, "id": N, ...}                 + descriptors
 *   answer   {"id": N, "event": "done"|"failed"|"progress"|"note"|"rate", ...}
 *
 * The first request is "open"; its members are those of struct fetch_options, and "host", "path",
 * "tag", "digest" (some mirrors are for pulls by the one or the other).
 * Nothing else is read from the socket before it has been answered, for configuration is read and
 * credential helpers run then; afterwards the process has no rights any more.
 *
 *   op               members                                    "done" says
 *   open             see above
 *   login
 *   manifest         reference, head (bool)                     digest, content_type, size + memfd
 *   small-blob       digest, size                               size + memfd
 *   blob             digest, size, offset,
 *                    urls (optional)            + pipe
 *   tags                                                        size + memfd: a JSON array
 *   referrers        digest                                     digest, content_type, size + memfd
 *   blob-exists      digest                                     exists
 *   mount            digest, from                               mounted
 *   upload           digest, size                + file or pipe
 *   put-manifest     reference, media_type, size + memfd        digest
 *   delete-manifest  digest
 *
 *   event            members
 *   failed           code (err_code_name), sys, text, hint
 *   progress         bytes
 *   note, rate       text
 *
 * Ids are the caller's: several requests are under way at once, and are answered in any order.
 * Notes of no request have id 0. When the caller closes the socket, uploads that are open at the
 * registry are deleted there, for FETCH_END_MS at most, and the process ends; its status tells what
 * became of them. */
#pragma once

#define FETCH_MESSAGE_MAX 65536
/* How long uploads may take to be deleted. */
#define FETCH_END_MS 5000
enum fetch_exit {
        FETCH_EXIT_CLEAN,   /* no upload was open */
        FETCH_EXIT_FAILED,  /* it never got as far as that */
        FETCH_EXIT_DROPPED, /* all that were open have been deleted */
        FETCH_EXIT_KEPT     /* the registry keeps one until it forgets it */
};
/* berth-fetch's end of the socket. */
#define FETCH_SOCKET_FD 3
/* Requests under way at once; more are an error. */
#define FETCH_REQUESTS_MAX 64
