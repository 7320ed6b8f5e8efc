/* store_check: everything on disk against the index, and against the digests that name it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/str.h"
#include "image/layer.h"
#include "image/store-internal.h"

struct check {
        struct store *store;
        struct findings found;
        struct strings broken; /* keys of layers */
        bool deep, repair;
        enum hash_alg alg;
        struct err *e;
};

/* ---- the index ---- */

/* To ask it anything puts it right, where that can be done. */
static int check_index(struct check *c)
{
        static const char *const problems[] = {
                [SEAL_FITS] = NULL,
                [SEAL_BEHIND] = "is behind what is on disk",
                [SEAL_VOID] = NULL, /* of another boot, say: nobody expects more of it */
                [SEAL_BROKEN] = "is damaged",
        };
        struct store *s = c->store;
        enum verdict v;
        const char *why;

        if (store_hold(s, c->e) < 0)
                return -1;
        if (db_sound(s, c->found.a, &why))
                why = NULL;
        store_release(s);
        if (store_verdict(s, &v, c->e) < 0)
                return -1;
        if (problems[v])
                finding_add(&c->found, false, "index", problems[v],
                            "It is made right by the next command that may write.");
        if (!why || v != SEAL_FITS)
                return 0;
        finding_add(&c->found, c->repair, "index", why,
                    "`berth system check --repair` makes it again from the disk.");
        return c->repair ? store_remake(s, c->e) : 0;
}

/* ---- blobs ---- */

static int hash_file(int fd, enum hash_alg alg, uint64_t limit, char ret[DIGEST_CAP])
{
        AUTO_FREE char *piece = mem_alloc(1u << 20);
        struct hash h;

        hash_init(&h, alg);
        while (limit > 0) {
                ssize_t n = read(fd, piece, MIN((uint64_t)1 << 20, limit));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                hash_update(&h, piece, (size_t)n);
                limit -= (uint64_t)n;
        }
        hash_final(&h, ret);
        return 0;
}

static int check_blob(void *ctx, int dir, const char *name)
{
        struct check *c = ctx;
        AUTO_FREE char *digest =
                mem_printf("sha%s:%s", c->alg == HASH_SHA512 ? "512" : "256", name);
        AUTO_FREE char *object = mem_printf("blob %s", digest);
        AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        char computed[DIGEST_CAP];
        enum hash_alg alg;
        int r;

        if (digest_check(digest, &alg) < 0) {
                /* Temporary files of who was killed are no damage. */
                if (*name != '.')
                        finding_add(&c->found, c->repair, object, "is no blob's name", NULL);
                if (c->repair)
                        trash_take(c->store, dir, name);
                return 0;
        }
        r = fd < 0 ? -errno : hash_file(fd, alg, UINT64_MAX, computed);
        if (r == -ENOENT) /* removed since it was listed */
                return 0;
        if (r < 0)
                return err_sys(c->e, r, "cannot read %s", object);
        if (str_eq(computed, digest))
                return 0;
        finding_add(&c->found, c->repair, object, "its content has another digest",
                    "Images that need it are dropped by a repair: pull them again.");
        if (c->repair)
                trash_take(c->store, dir, name);
        return 0;
}

/* ---- layers ---- */

static void layer_finding(struct check *c, const char *key, const char *problem)
{
        AUTO_FREE char *object = mem_printf("layer %s", key);

        finding_add(&c->found, c->repair, object, problem,
                    "Images that need it are dropped by a repair: pull them again.");
        strings_add(c->found.a, &c->broken, arena_strdup(c->found.a, key));
}

/* layer.tar may be longer than the tar: what the index appended to it. */
static int check_tar(struct check *c, int dir, const struct layer *l)
{
        AUTO_FD int fd = openat(dir, "layer.tar", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        char computed[DIGEST_CAP];
        enum hash_alg alg;
        int r;

        digest_check(l->diff_id, &alg);
        r = fd < 0 ? -errno : hash_file(fd, alg, l->size, computed);
        if (r < 0)
                return err_sys(c->e, r, "cannot read layer %s", l->key);
        if (!str_eq(computed, l->diff_id))
                layer_finding(c, l->key, "its content has another digest");
        return 0;
}

static int check_tree(struct check *c, int dir, const struct layer *l)
{
        AUTO_FD int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        struct err why = { 0 };

        if (layer_tar(l, dir, null, c->store->log, &why) < 0)
                layer_finding(c, l->key, why.chain);
        return 0;
}

static bool file_there(int dir, const char *name, uint64_t least)
{
        struct stat st;

        return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= least);
}

static int check_layer(void *ctx, int top, const char *name)
{
        static const char *const needed[LAYER_BACKEND_MAX][2] = {
                [LAYER_EROFS] = { "layer.tar", "layer.erofs" }, [LAYER_DIR] = { "fs", "meta.json" }
        };
        struct check *c = ctx;
        struct err why = { 0 };
        struct layer l;

        if (record_layer_read(top, name, &l, &why) < 0) {
                if (faccessat(top, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                        layer_finding(c, name, why.chain);
                return 0;
        }
        AUTO_FD int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        for (size_t i = 0; i < 2; i++) {
                const char *file = needed[l.backend][i];

                if (!file_there(dir, file, i == 0 && l.backend == LAYER_EROFS ? l.size : 0)) {
                        AUTO_FREE char *problem = mem_printf("%s is missing or too short", file);

                        layer_finding(c, name, problem);
                        return 0;
                }
        }
        if (!c->deep)
                return 0;
        return l.backend == LAYER_EROFS ? check_tar(c, dir, &l) : check_tree(c, dir, &l);
}

/* ---- images ---- */

static int check_images(struct check *c)
{
        struct image *images;
        size_t n;

        if (store_images(c->store, c->found.a, NULL, &images, &n, c->e) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                const char *name = images[i].names.n ? images[i].names.v[0] : images[i].digest;
                AUTO_FREE char *object = mem_printf("image %s", name);
                AUTO_FREE char *remedy = mem_printf("`berth pull %s` gets it again.", name);
                struct err why = { 0 };

                if (image_present(c->store, &images[i], &why) < 0)
                        finding_add(&c->found, c->repair, object, why.chain, remedy);
                for (size_t k = 0; k < images[i].layers.n; k++)
                        if (strings_has(&c->broken, images[i].layers.v[k]))
                                finding_add(&c->found, c->repair, object,
                                            "one of its layers is broken", remedy);
        }
        return 0;
}

/* ---- repair ---- */

/* Broken layers go, and by reconciling all that needs them. */
static int repair(struct check *c)
{
        struct store *s = c->store;
        int layers = store_sub(s, SUB_LAYERS, c->e);

        if (layers < 0)
                return -1;
        if (c->found.n > 0) {
                if (store_begin(s, c->e) < 0)
                        return -1;
                for (size_t i = 0; i < c->broken.n; i++)
                        trash_take(s, layers, c->broken.v[i]);
                if (store_reconcile(s, &c->found, c->e) < 0) {
                        store_abort(s);
                        return -1;
                }
                if (store_commit(s, (1u << SUB_TRACKED) - 1, c->e) < 0)
                        return -1;
        }
        return store_collect(s, COLLECT_WAIT, NULL, c->e);
}

int store_check(struct store *s, struct arena *a, bool deep, bool wanted, struct finding **ret,
                size_t *ret_n, struct err *e)
{
        struct check c = {
                .store = s, .found = { .a = a }, .deep = deep, .repair = wanted, .e = e
        };

        if (check_index(&c) < 0 || each_entry(s, SUB_SHA256, check_blob, &c, e) < 0)
                return -1;
        c.alg = HASH_SHA512;
        if (each_entry(s, SUB_SHA512, check_blob, &c, e) < 0 ||
            each_entry(s, SUB_LAYERS, check_layer, &c, e) < 0 || check_images(&c) < 0)
                return -1;
        if (wanted && repair(&c) < 0)
                return -1;
        *ret = c.found.v;
        *ret_n = c.found.n;
        return 0;
}
