/* Layers: from the stage to their name, and finding them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/str.h"
#include "image/store-internal.h"
#include "kernel/sys.h"

void store_layer_key(const char *digest, char ret[72])
{
        char again[DIGEST_CAP];

        if (!str_after(digest, "sha256:")) {
                hash_bytes(HASH_SHA256, digest, strlen(digest), again);
                digest = again;
        }
        snprintf(ret, 72, "%s", digest_hex(digest));
}

int index_layer(struct store *s, const struct layer *l, struct err *e)
{
        return db_run(s, Q_LAYER_ADD, e, "ssiiiii", l->key, l->diff_id, (int64_t)l->backend,
                      (int64_t)l->size, (int64_t)l->disk, (int64_t)l->entries, (int64_t)l->leans);
}

/* ---- finding ---- */

static int find_key(struct store *s, const char *key, struct layer *ret, struct err *e)
{
        AUTO_ROWS rows = { 0 };
        struct stat st;
        int found;

        if (db_query(s, Q_LAYER_GET, &rows, e, "s", key) < 0)
                return -1;
        found = db_next(&rows);
        if (found <= 0)
                return found;
        snprintf(ret->key, sizeof ret->key, "%s", db_text(&rows, 0));
        snprintf(ret->diff_id, sizeof ret->diff_id, "%s", db_text(&rows, 1));
        ret->backend = (enum layer_backend)db_int(&rows, 2);
        ret->size = (uint64_t)db_int(&rows, 3);
        ret->disk = (uint64_t)db_int(&rows, 4);
        ret->entries = (uint64_t)db_int(&rows, 5);
        ret->leans = db_int(&rows, 6) != 0;
        /* Somebody may just be removing it. */
        found = store_sub(s, SUB_LAYERS, e);
        return found < 0 ? -1 : fstatat(found, key, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int store_layer_find(struct store *s, const char *diff_id, const char *chain, struct layer *ret,
                     struct err *e)
{
        const char *digests[] = { diff_id, chain };
        struct layer l = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
                char key[72];
                int found;

                if (!digests[i])
                        continue;
                store_layer_key(digests[i], key);
                found = find_key(s, key, &l, e);
                if (found < 0)
                        return -1;
                /* One that leans is of its chain alone, also at the bottom, where both are one. */
                if (found && str_eq(l.diff_id, diff_id) && (i == 1 || !l.leans)) {
                        *ret = l;
                        return 0;
                }
        }
        return err_set(e, ERR_NOT_FOUND, "layer %s is not in the store", diff_id);
}

int store_layer_open(struct store *s, const char *key, int *ret_dir, struct err *e)
{
        int top = store_sub(s, SUB_LAYERS, e), fd;

        if (top < 0)
                return -1;
        if (strchr(key, '/') || *key == '.')
                return err_set(e, ERR_INVALID, "\"%.80s\" names no layer", key);
        fd = openat(top, key, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return err_set(e, ERR_NOT_FOUND, "layer %s is not in the store", key);
        if (fd < 0)
                return err_sys(e, errno, "cannot open layer %s", key);
        *ret_dir = fd;
        return 0;
}

/* ---- committing ---- */

static const char *const erofs_files[] = { "layer.tar", "layer.erofs" };

/* Flushes what was unpacked and adds up what it takes. */
static int sync_files(struct stage *g, struct layer *l, struct err *e)
{
        if (l->backend == LAYER_DIR) {
                if (syncfs(g->dir) < 0)
                        return err_sys(e, errno, "cannot flush layer %s", l->diff_id);
                l->disk = l->disk ? l->disk : l->size;
                return 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(erofs_files); i++) {
                AUTO_FD int fd = openat(g->dir, erofs_files[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                struct stat st;

                if (fd < 0 || fstat(fd, &st) < 0 || fdatasync(fd) < 0)
                        return err_sys(e, errno, "cannot flush \"%s\" of layer %s", erofs_files[i],
                                       l->diff_id);
                l->disk += (uint64_t)st.st_blocks * 512;
        }
        return 0;
}

/* Its record last, then the names of all: when the directory is flushed, the layer is complete. */
static int finish_stage(struct stage *g, struct layer *l, struct err *e)
{
        AUTO_BUF text = { 0 };
        int r;

        if (l->backend == LAYER_EROFS)
                l->disk = 0;
        if (sync_files(g, l, e) < 0)
                return -1;
        record_layer_write(l, &text);
        r = fd_replace_at(g->dir, "meta.json", text.s, text.len, 0600, true);
        return r < 0 ? err_sys(e, r, "cannot write the record of layer %s", l->diff_id) : 0;
}

static int publish(struct store *s, struct stage *g, const struct layer *l, struct err *e)
{
        int layers = store_sub(s, SUB_LAYERS, e), stages = store_sub(s, SUB_STAGE, e);

        if (layers < 0 || stages < 0 || store_begin(s, e) < 0)
                return -1;
        if (sys_renameat2(stages, g->name, layers, l->key, RENAME_NOREPLACE) < 0) {
                int error = errno;

                store_abort(s);
                if (error == EEXIST || error == ENOTEMPTY)
                        return 0;
                return err_sys(e, error, "cannot move layer %s into the store", l->diff_id);
        }
        if (index_layer(s, l, e) < 0) {
                store_abort(s);
                return -1;
        }
        if (store_commit(s, 1u << SUB_LAYERS, e) < 0)
                return -1;
        return fsync(layers) < 0 ? err_sys(e, errno, "cannot flush \"%s/layers\"", s->path) : 0;
}

int store_layer_commit(struct store *s, struct stage *g, const struct layer *l, struct err *e)
{
        struct layer mine = *l;
        struct err failed = { 0 };
        int r;

        if (strchr(l->key, '/') || *l->key == '.' || !*l->key) {
                stage_remove(s, g);
                return err_set(e, ERR_INTERNAL, "layer %s has no key", l->diff_id);
        }
        r = finish_stage(g, &mine, &failed);
        if (r == 0)
                r = publish(s, g, &mine, &failed);
        stage_remove(s, g);
        if (r < 0 && e)
                *e = failed;
        return r;
}
