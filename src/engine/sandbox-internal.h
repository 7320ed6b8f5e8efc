/* What the steps of `berth run` share: struct run, made by sandbox_run() and filled by one step for
 * the next. */
#pragma once

#include <signal.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/mounts.h"
#include "engine/sandbox.h"
#include "engine/secret.h"
#include "engine/settings.h"
#include "engine/workspace.h"
#include "image/manifest.h"
#include "image/store.h"

struct run {
        const struct sandbox *s;
        const struct sandbox_places *p;
        struct arena arena;
        struct buf *plan; /* --plan: where its lines go, and nothing is made; else NULL */
        bool stop;        /* what follows can't be planned: the image is not here */
        bool sweep_later; /* whose run it is sweeps where it waits for something anyway */

        struct store *store;
        int lease; /* on the image; 0: none */
        struct image image;
        struct image_config config;
        bool has_config;

        struct settings settings;
        struct workspace workspace;
        int mount;             /* the root, mounted nowhere yet; or -1 */
        int root;              /* O_PATH of the root as it will be, for looking things up; or -1 */
        int userns;            /* of the container's mappings; or -1 */
        const char *root_path; /* root.path of config.json */
        const char *bundle;
        const char *cgroups_path; /* cgroupsPath of config.json; NULL: a sandbox's */
        struct mounts mounts;
        struct secret_uses secrets;
        struct buf json; /* config.json */
        sigset_t mask;   /* of signals, before step_signals() held some back */
        bool held;       /* it did: between two steps they end the creation, undone */
        int status;
};

/* A step makes something, says with --plan what it would make, and takes it back. One that only
 * looks or computes is done with --plan too. */
struct step {
        int (*make)(struct run *r, struct err *e);
        void (*undo)(struct run *r);
        void (*print)(struct run *r, struct buf *out);
        bool always; /* make is called with --plan too; it looks at r->plan where it matters */
};

/* Steps of a root from an image, ended by {}. sandbox-image.c */
extern const struct step image_steps[];

/* Steps that every kind of root needs; sandbox.c. */
int step_settings(struct run *r, struct err *e);
int step_signals(struct run *r, struct err *e);
void undo_signals(struct run *r);
/* Whether one that is held back has come. */
bool signals_wait(void);
int step_workspace(struct run *r, struct err *e);
void undo_workspace(struct run *r);
void print_workspace(struct run *r, struct buf *out);
int step_run(struct run *r, struct err *e);
/* A mount namespace of our own, and the mount point RUN/bundle in it as an O_PATH descriptor. */
int private_mounts(struct run *r, int *ret_target, struct err *e);

/* Steps that a container which lasts (ctr.h) has too; sandbox-image.c. */
int find_image(struct run *r, struct err *e);
int hold_image(struct run *r, struct err *e);
void release_image(struct run *r);
int make_files(struct run *r, struct err *e);
int make_volumes(struct run *r, struct err *e);
int make_secrets(struct run *r, struct err *e);
/* The table, carried out; sandbox.c. *ret_n: how many were begun, to be undone where one failed. */
int steps_make(struct run *r, const struct step *steps, size_t *ret_n, struct err *e);
void steps_undo(struct run *r, const struct step *steps, size_t n);
void run_done(struct run *r);

/* /etc/passwd and /etc/group of the container's own, where its user or --hostuser need lines that
 * the image's have not; u's home is then the line's. passwd.c */
struct user;
int passwd_add(struct run *r, struct user *u, struct err *e);
/* Where image is an index's, the image of it for the platform that is wanted. sandbox-image.c */
int image_choose(struct store *s, struct arena *a, const struct platform *want, struct image *image,
                 struct err *e);
/* Writes config.json to r->json from what the steps made. */
int sandbox_config(struct run *r, struct err *e);
