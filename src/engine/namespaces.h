/* Which namespaces a container has of its own, shares with the host, or with another container. */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"

enum ns_kind { KIND_PID, KIND_IPC, KIND_UTS, KIND_CGROUP, KIND_NETWORK, KIND_USER, KIND_MAX };
enum ns_mode { MODE_PRIVATE, MODE_HOST, MODE_CONTAINER };

struct ns_choice {
        enum ns_mode mode;
        const char *container; /* whose; MODE_CONTAINER alone */
        const char *path;      /* its "/proc/PID/ns/...", once known */
        const char *word;      /* MODE_PRIVATE: another word for it that was given, or NULL */
};

/* text: what --pid, --ipc, --uts, --cgroupns or --network says; NULL: private. What the kind can't
 * be is an error that says why. KIND_USER follows from userns.h, which knows more modes. */
int namespaces_parse(struct arena *a, enum ns_kind kind, const char *text, struct ns_choice *ret,
                     struct err *e);
/* That of the process pid. */
void namespaces_join(struct arena *a, enum ns_kind kind, int pid, struct ns_choice *c);
/* The member "namespaces", the mount namespace among them. */
void namespaces_write(const struct ns_choice *c, struct json_writer *w);
