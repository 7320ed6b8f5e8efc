/* Blobs: files named by their digest. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "image/store-internal.h"

void blob_path(const char *digest, char ret[160])
{
        snprintf(ret, 160, "blobs/%.*s/%s", (int)strcspn(digest, ":"), digest, digest_hex(digest));
}

static int check(const char *digest, enum hash_alg *ret_alg, struct err *e)
{
        int r = digest_check(digest, ret_alg);

        if (r == -EOPNOTSUPP)
                return err_set(e, ERR_UNSUPPORTED, "digest \"%.150s\" is of an unknown algorithm",
                               digest);
        return r < 0 ? err_set(e, ERR_INVALID, "\"%.150s\" is no digest", digest) : 0;
}

static int blob_dir(struct store *s, enum hash_alg alg, struct err *e)
{
        return store_sub(s, alg == HASH_SHA512 ? SUB_SHA512 : SUB_SHA256, e);
}

/* Gives the open file its name: one without a name so far (O_TMPFILE), or that of tmp. Durable.
 * Somebody else's equal blob is as good. */
static int publish(int dir, int fd, const char *tmp, const char *hex)
{
        struct fd_path path = fd_path(fd);

        if (fsync(fd) < 0)
                return -errno;
        if (tmp ? renameat(dir, tmp, dir, hex) < 0
                : linkat(AT_FDCWD, path.s, dir, hex, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
                return -errno;
        return fsync(dir) < 0 ? -errno : 0;
}

static int write_blob(int dir, const char *hex, const void *data, size_t n)
{
        AUTO_FD int fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        char tmp[DIGEST_CAP + 32] = "";
        int r;

        /* Not every file system has files without a name; what is left over is swept by its name's
         * dot. */
        if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
                snprintf(tmp, sizeof tmp, ".%s.%d", hex, getpid());
                fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        }
        if (fd < 0)
                return -errno;
        r = fd_write_all(fd, data, n);
        if (r == 0)
                r = publish(dir, fd, *tmp ? tmp : NULL, hex);
        if (r < 0 && *tmp)
                unlinkat(dir, tmp, 0);
        return r;
}

int store_blob_put(struct store *s, const void *data, size_t n, const char *digest,
                   char ret_digest[DIGEST_CAP], struct err *e)
{
        enum hash_alg alg = HASH_SHA256;
        char computed[DIGEST_CAP];
        int dir, r;

        if (digest && check(digest, &alg, e) < 0)
                return -1;
        hash_bytes(alg, data, n, computed);
        if (digest && !str_eq(digest, computed))
                return err_set(e, ERR_INVALID, "blob %s: its content has the digest %s", digest,
                               computed);
        if (ret_digest)
                snprintf(ret_digest, DIGEST_CAP, "%s", computed);
        if (store_blob_has(s, computed))
                return 0;
        dir = blob_dir(s, alg, e);
        if (dir < 0)
                return -1;
        r = write_blob(dir, digest_hex(computed), data, n);
        return r < 0 ? err_sys(e, r, "cannot write blob %s", computed) : 0;
}

int store_blob_adopt(struct store *s, int dir, const char *name, const char *digest, struct err *e)
{
        AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        enum hash_alg alg;
        int blobs;

        if (check(digest, &alg, e) < 0)
                return -1;
        if (fd < 0)
                return err_sys(e, errno, "cannot keep blob %s", digest);
        blobs = blob_dir(s, alg, e);
        if (blobs < 0)
                return -1;
        if (fsync(fd) < 0 || renameat(dir, name, blobs, digest_hex(digest)) < 0 || fsync(blobs) < 0)
                return err_sys(e, errno, "cannot keep blob %s", digest);
        return 0;
}

bool store_blob_has(struct store *s, const char *digest)
{
        enum hash_alg alg;
        struct stat st;
        char path[160];

        if (digest_check(digest, &alg) < 0)
                return false;
        blob_path(digest, path);
        return fstatat(s->dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

int store_blob_open(struct store *s, const char *digest, int *ret_fd, uint64_t *ret_size,
                    struct err *e)
{
        enum hash_alg alg;
        struct stat st;
        char path[160];

        if (check(digest, &alg, e) < 0)
                return -1;
        blob_path(digest, path);
        AUTO_FD int fd = openat(s->dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return err_set(e, ERR_NOT_FOUND, "blob %s is not in the store", digest);
        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(e, errno, "cannot open blob %s", digest);
        *ret_fd = TAKE_FD(fd);
        if (ret_size)
                *ret_size = (uint64_t)st.st_size;
        return 0;
}

int store_blob_read(struct store *s, struct arena *a, const char *digest, size_t limit,
                    const char **ret, size_t *ret_n, struct err *e)
{
        AUTO_FREE char *data = NULL;
        char computed[DIGEST_CAP], path[160];
        enum hash_alg alg;
        size_t n;
        int r;

        if (check(digest, &alg, e) < 0)
                return -1;
        blob_path(digest, path);
        r = fd_read_regular_at(s->dir, path, limit, &data, &n);
        if (r == -ENOENT)
                return err_set(e, ERR_NOT_FOUND, "blob %s is not in the store", digest);
        if (r == -EFBIG)
                return err_set(e, ERR_LIMIT, "blob %s is larger than %zu bytes", digest, limit);
        if (r < 0)
                return err_sys(e, r, "cannot read blob %s", digest);
        hash_bytes(alg, data, n, computed);
        if (!str_eq(digest, computed)) {
                err_set(e, ERR_INTERNAL, "blob %s is damaged: its content has the digest %s",
                        digest, computed);
                return err_hint(e, "`berth system check --repair` drops what is broken.");
        }
        *ret = arena_strndup(a, data, n);
        *ret_n = n;
        return 0;
}
