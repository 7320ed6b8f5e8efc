/* What the store takes on disk, and what of it could be given back. */
#include <fcntl.h>
#include <stdio.h>

#include "base/str.h"
#include "image/store-internal.h"

struct count {
        struct store *store;
        struct usage *usage;
        enum hash_alg alg;
        struct err *e;
};

/* A blob or layer of an image that is in use: 1, 0; -1. */
static int in_use(struct store *s, const char *object, struct err *e)
{
        AUTO_ROWS rows = { 0 };
        int more, used = 0;

        if (db_query(s, Q_USERS, &rows, e, "s", object) < 0)
                return -1;
        while (!used && (more = db_next(&rows)) > 0)
                used = str_after(db_text(&rows, 0), "container:")
                               ? 1
                               : image_in_use(s, db_text(&rows, 0), e);
        return more < 0 ? -1 : used;
}

static int count_blob(void *ctx, int dir, const char *name)
{
        struct count *c = ctx;
        AUTO_FREE char *digest =
                mem_printf("sha%s:%s", c->alg == HASH_SHA512 ? "512" : "256", name);
        struct stat st;
        int used;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        used = in_use(c->store, digest, c->e);
        if (used < 0)
                return -1;
        c->usage->blobs.count++;
        c->usage->blobs.size += (uint64_t)st.st_blocks * 512;
        if (used)
                c->usage->blobs.active++;
        else
                c->usage->blobs.reclaimable += (uint64_t)st.st_blocks * 512;
        return 0;
}

/* Adds what a file or tree takes to the uint64_t that ctx is. */
static int add_size(void *ctx, int dir, const char *name)
{
        uint64_t *total = ctx;
        struct stat st;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        *total += (uint64_t)st.st_blocks * 512;
        if (S_ISDIR(st.st_mode)) {
                AUTO_FD int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

                if (fd >= 0)
                        each_in(fd, add_size, total);
        }
        return 0;
}

uint64_t store_tree_size(int dir, const char *name)
{
        uint64_t total = 0;

        add_size(&total, dir, name);
        return total;
}

static int count_container(void *ctx, int dir, const char *name)
{
        struct usage *u = ctx;

        u->containers.count++;
        u->containers.size += store_tree_size(dir, name);
        return 0;
}

/* What containers wrote: the engine's directories, where there are any. */
static void count_containers(struct store *s, struct usage *u)
{
        AUTO_FD int dir =
                openat(s->dir, "containers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (dir >= 0)
                each_in(dir, count_container, u);
        u->containers.active = MIN(u->containers.active, u->containers.count);
}

static int count_stage(void *ctx, int dir, const char *name)
{
        struct count *c = ctx;
        uint64_t size;
        struct stage g;

        if (str_ends(name, ".lock"))
                return 0;
        size = store_tree_size(dir, name);
        c->usage->stages.count++;
        c->usage->stages.size += size;
        if (c->store->writable && stage_open(c->store, name, true, &g, NULL) == 0) {
                stage_keep(c->store, &g);
                c->usage->stages.reclaimable += size;
        } else {
                c->usage->stages.active++;
        }
        return 0;
}

static int count_trash(void *ctx, int dir, const char *name)
{
        struct count *c = ctx;
        uint64_t size = store_tree_size(dir, name);

        c->usage->trash.count++;
        c->usage->trash.size += size;
        c->usage->trash.reclaimable += size;
        return 0;
}

/* A layer counts once, however many images share it; it can be given back unless a container uses
 * an image that has it. */
static int count_layers(struct count *c)
{
        AUTO_ROWS rows = { 0 };
        int more, used;

        if (db_query(c->store, Q_LAYERS, &rows, c->e, NULL) < 0)
                return -1;
        while ((more = db_next(&rows)) > 0) {
                uint64_t disk = (uint64_t)db_int(&rows, 4);

                used = in_use(c->store, db_text(&rows, 0), c->e);
                if (used < 0)
                        return -1;
                c->usage->images.size += disk;
                if (!used)
                        c->usage->images.reclaimable += disk;
        }
        return more;
}

int store_usage(struct store *s, struct usage *ret, struct err *e)
{
        AUTO_ARENA a = { 0 };
        struct usage u = { 0 };
        struct count c = { .store = s, .usage = &u, .e = e };
        struct image *images;
        size_t n;

        if (store_images(s, &a, NULL, &images, &n, e) < 0 || count_layers(&c) < 0)
                return -1;
        u.images.count = n;
        for (size_t i = 0; i < n; i++) {
                u.images.active += images[i].containers > 0;
                u.containers.active += images[i].containers;
        }
        count_containers(s, &u);
        if (each_entry(s, SUB_SHA256, count_blob, &c, e) < 0)
                return -1;
        c.alg = HASH_SHA512;
        if (each_entry(s, SUB_SHA512, count_blob, &c, e) < 0 ||
            each_entry(s, SUB_STAGE, count_stage, &c, e) < 0 ||
            each_entry(s, SUB_TRASH, count_trash, &c, e) < 0)
                return -1;
        *ret = u;
        return 0;
}
